// One message: what was asked with its editor, or an answer with reasoning, state, numbers and
// actions.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Conversation, Message } from '../model/types';
import {
  answer,
  canContinue,
  continueAnswer,
  isRunning,
  regenerate,
  runs,
  send,
} from '../state/generation';
import { elsewhere } from '../state/tabs';
import { editing, focusLastMessage } from '../state/ui';
import { numbersOf } from '../text/numbers';
import { isScored } from '../text/tokens';
import { BranchSwitch } from './branch_switch';
import { CopyButton } from './copy';
import { ExpertsPanel } from './experts_panel';
import { FailureView } from './failure_view';
import { IconButton } from './icons';
import { MarkdownView } from './markdown_view';
import { MessageEditor } from './message_editor';
import { TokensView } from './tokens_view';

interface Props {
  conversation: Conversation;
  message: Message;
  isLast: boolean;
}

export function MessageView(props: Props): JSX.Element {
  const { message } = props;
  const name = message.role === 'user' ? 'You' : (message.model ?? 'Answer');
  return (
    <article
      class={`message of-${message.role}`}
      data-id={message.id}
      tabIndex={-1}
      aria-label={name}
    >
      <h2 class="message-name">{name}</h2>
      {message.role === 'user' ? <Question {...props} /> : <Answer {...props} />}
    </article>
  );
}

function Question({ conversation, message, isLast }: Props): JSX.Element {
  if (editing.value === message.id)
    return (
      <MessageEditor
        text={message.content}
        onCancel={() => stopEditing(message.id)}
        onSend={(text) => {
          editing.value = null;
          send(conversation.id, message.parentId, text);
          focusLastMessage();
        }}
      />
    );
  const isBusy = isRunning(conversation.id);
  return (
    <>
      <div class="question">{message.content}</div>
      <div class="actions">
        {isLast && !isBusy && (
          <button
            type="button"
            class="text-button"
            onClick={() => {
              void answer(conversation.id, message.id);
              focusLastMessage();
            }}
          >
            Get an answer
          </button>
        )}
        <BranchSwitch conversation={conversation} message={message} />
        <CopyButton label="Copy message" text={() => message.content} />
        <IconButton
          id={`edit-${message.id}`}
          icon="pencil"
          label="Edit message"
          disabled={isBusy}
          onClick={() => (editing.value = message.id)}
        />
      </div>
    </>
  );
}

function stopEditing(id: string): void {
  editing.value = null;
  requestAnimationFrame(() => document.getElementById(`edit-${id}`)?.focus());
}

function Answer({ conversation, message, isLast }: Props): JSX.Element {
  const [showsTokens, setShowsTokens] = useState(
    conversation.wantsProbabilities || conversation.wantsExperts,
  );
  const [openToken, setOpenToken] = useState<number | null>(null);
  const [isMapShown, setMapShown] = useState(false);
  const isWriting = runs.value.get(conversation.id)?.messageId === message.id;
  const hasTokens = message.tokens.length > 0;
  return (
    <>
      {message.reasoning && <Reasoning message={message} isWriting={isWriting} />}
      <div class={isWriting ? 'answer is-writing' : 'answer'} aria-busy={isWriting}>
        {hasTokens && showsTokens ? (
          <TokensView
            tokens={message.tokens}
            routing={message.routing}
            isMapShown={isMapShown}
            id={message.id}
            open={openToken}
            setOpen={setOpenToken}
          />
        ) : (
          <MarkdownView source={message.content} />
        )}
        {isWriting && !message.content && <Waiting />}
      </div>
      {message.routing && (
        <ExpertsPanel
          routing={message.routing}
          token={openToken}
          isOpen={isMapShown}
          setOpen={setMapShown}
        />
      )}
      {!isWriting && <Ending conversation={conversation} message={message} isLast={isLast} />}
      <div class="actions">
        <BranchSwitch conversation={conversation} message={message} />
        {!isWriting && message.content && (
          <>
            <CopyButton label="Copy answer" text={() => message.content} />
            <IconButton
              icon="again"
              label="Regenerate answer"
              disabled={isRunning(conversation.id)}
              onClick={() => {
                regenerate(conversation.id, message);
                focusLastMessage();
              }}
            />
          </>
        )}
        {hasTokens && (
          <IconButton
            icon="chart"
            label={message.tokens.some(isScored) ? 'Show probabilities of tokens' : 'Show tokens'}
            pressed={showsTokens}
            onClick={() => {
              setShowsTokens(!showsTokens);
              setOpenToken(null);
            }}
          />
        )}
        <span class="numbers">{numbersOf(message)}</span>
      </div>
    </>
  );
}

function Waiting(): JSX.Element {
  return (
    <div class="waiting" role="img" aria-label="The answer is being computed">
      <span />
      <span />
      <span />
    </div>
  );
}

function Reasoning({ message, isWriting }: { message: Message; isWriting: boolean }): JSX.Element {
  const [isOpen, setOpen] = useState(false);
  const isThinking = isWriting && message.content === '';
  return (
    <details class="reasoning" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{isThinking ? 'Reasoning…' : 'Reasoning'}</summary>
      {isOpen && <MarkdownView source={message.reasoning} />}
    </details>
  );
}

/** How an answer ended, where that was not by itself. */
function Ending({ conversation, message, isLast }: Props): JSX.Element | null {
  if (message.failure)
    return <FailureView conversation={conversation} message={message} isLast={isLast} />;
  if (elsewhere.value.has(conversation.id) && message.state === 'streaming')
    return <p class="ending">Another tab writes this answer.</p>;
  const reasons: Record<string, string> = {
    streaming: 'The page was closed before the answer was complete.',
    stopped: 'You stopped this answer.',
  };
  const isAtLimit = message.finishReason === 'length';
  const reason =
    reasons[message.state] ?? (isAtLimit ? 'The answer reached its limit of tokens.' : null);
  if (reason === null) return null;
  return (
    <p class="ending">
      {reason}{' '}
      {isLast && canContinue(message) && (
        <button
          type="button"
          class="text-button"
          disabled={isRunning(conversation.id)}
          onClick={() => {
            void continueAnswer(conversation.id, message);
            focusLastMessage();
          }}
        >
          Continue
        </button>
      )}
    </p>
  );
}
