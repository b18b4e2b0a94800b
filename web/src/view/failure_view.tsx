// One sentence about what went wrong, and the one thing to do about it.
import type { JSX } from 'preact';
import type { Conversation, FailureKind, Message } from '../model/types';
import { canContinue, continueAnswer, regenerate } from '../state/generation';
import { startConversation, current, update } from '../state/store';
import { focusComposer, focusLastMessage, openDialog } from '../state/ui';
import { setComposerText } from './composer';

interface Props {
  conversation: Conversation;
  message: Message;
  isLast: boolean;
}

/** The question goes along, and so do system prompt and settings. */
function startOver({ conversation, message }: Props): void {
  const question = conversation.messages.find((one) => one.id === message.parentId);
  const { system, sampling, wantsProbabilities } = conversation;
  startConversation();
  update(current.value.id, (one) => ({ ...one, system, sampling, wantsProbabilities }));
  setComposerText(question?.content ?? '');
  focusComposer();
}

export function FailureView(props: Props): JSX.Element | null {
  const { conversation, message, isLast } = props;
  if (!message.failure) return null;
  const again = (): void => {
    regenerate(conversation.id, message);
    focusLastMessage();
  };
  const retry = { label: 'Try again', run: again };
  const actions: Partial<Record<FailureKind, typeof retry>> = {
    too_long: { label: 'Start a new conversation', run: () => startOver(props) },
    key: { label: 'Enter the key', run: () => openDialog('key') },
  };
  const kept = message.content || message.reasoning ? ' What had come is kept.' : '';
  const first = actions[message.failure.kind];
  return (
    <div class="failure">
      <p>
        {message.failure.message}
        {kept}
      </p>
      <div class="buttons">
        {isLast && canContinue(message) && (
          <button
            type="button"
            class="button"
            onClick={() => {
              void continueAnswer(conversation.id, message);
              focusLastMessage();
            }}
          >
            Continue
          </button>
        )}
        {first && (
          <button type="button" class="button is-main" onClick={first.run}>
            {first.label}
          </button>
        )}
        {message.failure.kind !== 'too_long' && (
          <button type="button" class="button" onClick={retry.run}>
            {retry.label}
          </button>
        )}
      </div>
    </div>
  );
}
