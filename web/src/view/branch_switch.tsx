// Goes through the versions of a message.
import type { JSX } from 'preact';
import { siblings, withChosen } from '../model/tree';
import type { Conversation, Message } from '../model/types';
import { update } from '../state/store';
import { Icon } from './icons';

interface Props {
  conversation: Conversation;
  message: Message;
}

export function BranchSwitch({ conversation, message }: Props): JSX.Element | null {
  const all = siblings(conversation, message);
  if (all.length < 2) return null;
  const at = all.findIndex((one) => one.id === message.id);
  const go = (step: number): void => {
    const next = all[at + step];
    if (!next) return;
    update(conversation.id, (one) => withChosen(one, next));
    // The switch is a new one in another message: focus stays with it.
    requestAnimationFrame(() =>
      document
        .querySelector<HTMLElement>(`[data-id="${next.id}"] .branches button:enabled`)
        ?.focus(),
    );
  };
  const what = message.role === 'user' ? 'message' : 'answer';
  return (
    <span class="branches" role="group" aria-label={`Versions of this ${what}`}>
      <button
        type="button"
        aria-label={`Previous version of this ${what}`}
        disabled={at === 0}
        onClick={() => go(-1)}
      >
        <Icon name="left" />
      </button>
      <span>
        {at + 1}/{all.length}
      </span>
      <button
        type="button"
        aria-label={`Next version of this ${what}`}
        disabled={at === all.length - 1}
        onClick={() => go(1)}
      >
        <Icon name="right" />
      </button>
    </span>
  );
}
