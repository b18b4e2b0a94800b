// The field at the bottom: write, send, stop. What is not sent yet survives a reload.
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { shownPath } from '../model/tree';
import { isRunning, runs, send, stop } from '../state/generation';
import { announce } from '../state/notices';
import { readDraft, writeDraft } from '../state/preferences';
import { current } from '../state/store';
import { editing } from '../state/ui';
import { fit, sendsByEnter } from './fields';
import { Icon } from './icons';

const text = signal('');

export function setComposerText(next: string): void {
  text.value = next;
  writeDraft(draftName(), next);
}

/** The unsaved conversation has another id after a reload. */
function draftName(): string {
  return current.value.messages.length > 0 ? current.value.id : 'new';
}

function submit(): void {
  const message = text.value.trim();
  const { id } = current.value;
  if (!message) return;
  if (isRunning(id)) {
    announce('Wait for the end of the answer, or stop it.');
    return;
  }
  setComposerText('');
  send(id, shownPath(current.value).at(-1)?.id ?? null, message);
}

function editLast(): void {
  const last = shownPath(current.value).findLast((message) => message.role === 'user');
  if (last && !isRunning(current.value.id)) editing.value = last.id;
}

function onKeyDown(event: KeyboardEvent): void {
  if (event.isComposing) return; // Enter accepts a word of an input method
  if (
    event.key === 'Enter' &&
    !event.shiftKey &&
    (sendsByEnter() || event.ctrlKey || event.metaKey)
  ) {
    event.preventDefault();
    submit();
  } else if (event.key === 'ArrowUp' && text.value === '' && !event.altKey) {
    event.preventDefault();
    editLast();
  }
}

export function Composer(): JSX.Element {
  const field = useRef<HTMLTextAreaElement>(null);
  const { id } = current.value;
  const isBusy = runs.value.has(id);
  useLayoutEffect(() => {
    text.value = readDraft(draftName());
  }, [id]);
  useLayoutEffect(() => fit(field.current), [text.value]);
  return (
    <form
      class="composer"
      aria-label="New message"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <textarea
        id="composer"
        ref={field}
        rows={1}
        aria-label="Message"
        placeholder="Write a message"
        value={text.value}
        onInput={(event) => setComposerText(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      {isBusy ? (
        <button
          type="button"
          key="stop"
          class="round-button"
          aria-label="Stop the answer"
          title="Stop the answer (Esc)"
          onClick={() => {
            stop(id);
            field.current?.focus();
          }}
        >
          <Icon name="stop" />
        </button>
      ) : (
        <button
          type="submit"
          key="send"
          class="round-button"
          aria-label="Send"
          title="Send (Enter)"
          disabled={!text.value.trim()}
        >
          <Icon name="send" />
        </button>
      )}
    </form>
  );
}
