// Settings of the shown conversation; an empty field leaves the choice to the server.
import type { JSX, TargetedInputEvent } from 'preact';
import { asMarkdown } from '../model/transfer';
import { EMPTY_PRESET, type Preset, type Sampling } from '../model/types';
import { notify } from '../state/notices';
import { apiKey, preset, setPreset } from '../state/preferences';
import { model } from '../state/server';
import { current, update } from '../state/store';
import { openDialog } from '../state/ui';
import { Dialog } from './dialog';
import { download, exportConversations } from './transfer_buttons';

interface Field {
  name: keyof Sampling;
  label: string;
  hint: string;
  min: number;
  max?: number;
  step: number | 'any';
}

const FIELDS: Field[] = [
  {
    name: 'temperature',
    label: 'Temperature',
    hint: '0 to 2; 0 takes the likeliest token',
    min: 0,
    max: 2,
    step: 'any',
  },
  { name: 'top_p', label: 'Top p', hint: 'above 0, to 1', min: 0, max: 1, step: 'any' },
  { name: 'max_tokens', label: 'Longest answer', hint: 'tokens', min: 1, step: 1 },
  { name: 'seed', label: 'Seed', hint: 'the same seed gives the same answer', min: 0, step: 1 },
];

export function SettingsDialog(): JSX.Element {
  const one = current.value;
  const { system, wantsProbabilities, wantsExperts } = one;
  return (
    <Dialog title="Settings of this conversation">
      <p class="hint">They take effect with the next answer.</p>
      <label class="field">
        <span>System prompt</span>
        <textarea
          rows={3}
          value={system}
          placeholder="None"
          onInput={(event) => {
            const next = event.currentTarget.value;
            update(one.id, (before) => ({ ...before, system: next }));
          }}
        />
      </label>
      <div class="field-grid">
        {FIELDS.map((field) => (
          <NumberField key={field.name} field={field} />
        ))}
      </div>
      <Check
        label="Ask for the probabilities of tokens, and show them in the next answers"
        isChecked={wantsProbabilities}
        onChange={(next) => update(one.id, (before) => ({ ...before, wantsProbabilities: next }))}
      />
      {model.value?.experts && (
        <Check
          label="Show which experts wrote each token"
          isChecked={wantsExperts}
          onChange={(next) => update(one.id, (before) => ({ ...before, wantsExperts: next }))}
        />
      )}
      <div class="buttons is-spread">
        <button
          type="button"
          class="button"
          onClick={() => update(one.id, (before) => ({ ...before, ...EMPTY_PRESET }))}
        >
          Back to the server’s defaults
        </button>
        <button
          type="button"
          class="button"
          disabled={isPreset()}
          onClick={() => {
            setPreset(presetOf());
            notify('New conversations begin with these settings.');
          }}
        >
          Use for new conversations
        </button>
      </div>
      <MoreSettings />
    </Dialog>
  );
}

function presetOf(): Preset {
  const { system, sampling, wantsProbabilities, wantsExperts } = current.value;
  return { system, sampling, wantsProbabilities, wantsExperts };
}

function isPreset(): boolean {
  return JSON.stringify(preset.value) === JSON.stringify(presetOf());
}

interface CheckProps {
  label: string;
  isChecked: boolean;
  onChange: (isChecked: boolean) => void;
}

function Check({ label, isChecked, onChange }: CheckProps): JSX.Element {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={isChecked}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <span>{label}</span>
    </label>
  );
}

function NumberField({ field }: { field: Field }): JSX.Element {
  const { id, sampling } = current.value;
  const onInput = (event: TargetedInputEvent<HTMLInputElement>): void => {
    const input = event.currentTarget;
    const value = input.value === '' ? null : input.valueAsNumber;
    if (!input.validity.valid) return; // shown by its colour; the last good value stays
    update(id, (before) => ({ ...before, sampling: { ...before.sampling, [field.name]: value } }));
  };
  return (
    <label class="field">
      <span>{field.label}</span>
      <input
        type="number"
        name={field.name}
        inputMode="decimal"
        placeholder="default"
        min={field.min}
        max={field.max}
        step={field.step}
        value={sampling[field.name] ?? ''}
        onInput={onInput}
      />
      <small>{field.hint}</small>
    </label>
  );
}

function MoreSettings(): JSX.Element {
  const one = current.value;
  const isEmpty = one.messages.length === 0;
  return (
    <div class="buttons is-spread">
      <button
        type="button"
        class="button"
        disabled={isEmpty}
        onClick={() => exportConversations([one], 'fathom-conversation')}
      >
        Export this conversation
      </button>
      <button
        type="button"
        class="button"
        disabled={isEmpty}
        onClick={() => download('conversation.md', 'text/markdown', asMarkdown(one, 'Answer'))}
      >
        Save as Markdown
      </button>
      <button type="button" class="button" onClick={() => openDialog('key')}>
        {apiKey.value ? 'Change API key' : 'API key'}
      </button>
    </div>
  );
}
