// The line above the conversation: its title, the model, and what opens the rest.
import type { JSX } from 'preact';
import type { Conversation } from '../model/types';
import { setTheme, theme, type Theme } from '../state/preferences';
import { chooseModel, connect, isConnecting, model, models, serverFailure } from '../state/server';
import { current } from '../state/store';
import { openDialog } from '../state/ui';
import { count } from '../text/numbers';
import { IconButton, type IconName } from './icons';
import { isSidebarShown, toggleSidebar } from './sidebar_state';

const THEMES: Record<Theme, { icon: IconName; next: Theme; label: string }> = {
  system: { icon: 'screen', next: 'light', label: 'Colours: of the system' },
  light: { icon: 'sun', next: 'dark', label: 'Colours: light' },
  dark: { icon: 'moon', next: 'system', label: 'Colours: dark' },
};

export function Header(): JSX.Element {
  const colours = THEMES[theme.value];
  const { title, messages } = current.value;
  return (
    <header class="header">
      <IconButton
        icon="panel"
        label="Conversations"
        expanded={isSidebarShown.value}
        onClick={toggleSidebar}
      />
      <div class="heading">
        <h1>{messages.length > 0 ? title : 'New conversation'}</h1>
        <ModelName />
      </div>
      <IconButton
        icon="sliders"
        class={hasSettings(current.value) ? 'is-set' : ''}
        label="Settings"
        onClick={() => openDialog('settings')}
      />
      <IconButton
        icon={colours.icon}
        label={colours.label}
        onClick={() => setTheme(colours.next)}
      />
      <IconButton
        icon="keyboard"
        class="wide-only"
        label="Keyboard shortcuts"
        onClick={() => openDialog('shortcuts')}
      />
    </header>
  );
}

/** Shown by a dot: answers depend on more than the messages. */
function hasSettings({
  system,
  sampling,
  wantsProbabilities,
  wantsExperts,
}: Conversation): boolean {
  const isSampled = Object.values(sampling).some((value) => value !== null);
  return system.trim() !== '' || isSampled || wantsProbabilities || wantsExperts;
}

function ModelName(): JSX.Element {
  const one = model.value;
  if (!one) return <p class="model">{isConnecting.value ? 'connecting…' : 'no model'}</p>;
  const context = one.contextLength ? `context ${count(one.contextLength)}` : '';
  if (models.value.length === 1)
    return <p class="model">{[one.id, context].filter(Boolean).join(' · ')}</p>;
  return (
    <p class="model">
      <select
        aria-label="Model"
        value={one.id}
        onChange={(event) => chooseModel(event.currentTarget.value)}
      >
        {models.value.map(({ id }) => (
          <option key={id} value={id}>
            {id}
          </option>
        ))}
      </select>{' '}
      {context}
    </p>
  );
}

/** Stands below the header while the server cannot be used. */
export function ServerBanner(): JSX.Element | null {
  const failure = serverFailure.value;
  if (!failure) return null;
  return (
    <div class="banner">
      <p>{failure.message}</p>
      {failure.kind === 'key' && (
        <button type="button" class="button" onClick={() => openDialog('key')}>
          Enter the key
        </button>
      )}
      <button
        type="button"
        class="button"
        disabled={isConnecting.value}
        onClick={() => void connect()}
      >
        Try again
      </button>
    </div>
  );
}
