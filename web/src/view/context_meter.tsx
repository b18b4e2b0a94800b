// How much of the model's context the conversation fills, as of its last answer.
import type { JSX } from 'preact';
import type { Message } from '../model/types';
import { model } from '../state/server';
import { count } from '../text/numbers';

const NEARLY_FULL = 0.85;

export function ContextMeter({ path }: { path: Message[] }): JSX.Element {
  const usage = path.findLast((message) => message.usage !== null)?.usage;
  const length = model.value?.contextLength;
  if (!usage || !length) return <p class="context">Answers of a language model can be wrong.</p>;
  const used = usage.prompt_tokens + usage.completion_tokens;
  const isNearlyFull = used / length > NEARLY_FULL;
  return (
    <p class={isNearlyFull ? 'context is-nearly-full' : 'context'}>
      <meter
        aria-label="Context used"
        min={0}
        max={length}
        high={length * NEARLY_FULL}
        value={Math.min(used, length)}
      />
      {count(used)} of {count(length)} tokens of context
      {isNearlyFull && ': nearly full, a new conversation has all of it'}
    </p>
  );
}
