// What a new conversation shows: who answers, and something to begin with.
import type { JSX } from 'preact';
import { send } from '../state/generation';
import { isConnecting, model, serverFailure } from '../state/server';
import { current } from '../state/store';
import { focusComposer } from '../state/ui';
import { count } from '../text/numbers';
import { sendsByEnter } from './fields';

// For a small model that tells stories and small-talks.
const EXAMPLES = [
  'Tell me a story about a fox and a clever bird.',
  'Once upon a time there was a little mouse who',
  'What happened to the old king in the forest?',
  'Good morning! Can you find me a restaurant?',
];

export function EmptyState(): JSX.Element {
  const { id } = current.value;
  const name = model.value?.id;
  return (
    <div class="empty">
      <h2>{name ? `Talk with ${name}` : isConnecting.value ? 'One moment' : 'Fathom'}</h2>
      <p>
        {model.value?.contextLength
          ? `It runs on this server and keeps ${count(model.value.contextLength)} tokens in mind. Conversations stay in this browser.`
          : 'Conversations stay in this browser.'}
      </p>
      {!serverFailure.value && (
        <ul class="examples" aria-label="Examples">
          {EXAMPLES.map((example) => (
            <li key={example}>
              <button
                type="button"
                onClick={() => {
                  send(id, null, example);
                  if (sendsByEnter()) focusComposer(); // a phone would open its keyboard
                }}
              >
                {example}
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
