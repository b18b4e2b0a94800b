// Goal: what the server sends is read as it is meant, and what can go wrong becomes the right kind
// of failure. Method: a fetch that answers from a table.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SERVER_DEFAULTS } from '../model/types';
import { listModels, readStep, requestBody, streamChat, type ChatRequest } from './client';
import { ApiFailure } from './failure';

const REQUEST: ChatRequest = {
  model: 'm',
  messages: [{ role: 'user', content: 'Hi' }],
  sampling: SERVER_DEFAULTS,
  wantsProbabilities: false,
  wantsExperts: false,
};

function serve(body: string, init: ResponseInit = {}): void {
  globalThis.fetch = () => Promise.resolve(new Response(body, init));
}

async function contentOf(): Promise<string> {
  let content = '';
  for await (const step of streamChat(REQUEST, '', new AbortController().signal))
    content += step.content;
  return content;
}

const isKind = (kind: string) => (error: unknown) =>
  error instanceof ApiFailure && error.kind === kind;
const event = (json: unknown): string => `data: ${JSON.stringify(json)}\n\n`;
const piece = (content: string, finish_reason: string | null = null): string =>
  event({ choices: [{ delta: { content }, finish_reason }] });

test('only settings that are set are sent', () => {
  assert.deepEqual(requestBody(REQUEST), {
    model: 'm',
    messages: REQUEST.messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  const set = {
    ...REQUEST,
    sampling: { ...SERVER_DEFAULTS, temperature: 0 },
    wantsProbabilities: true,
  };
  const body = requestBody(set);
  assert.equal(body['temperature'], 0);
  assert.ok(!('seed' in body));
  assert.equal(body['logprobs'], true);
  assert.equal(body['top_logprobs'], 5);
  assert.ok(!('return_routed_experts' in body));
  const experts = requestBody({ ...REQUEST, wantsExperts: true });
  assert.deepEqual([experts['logprobs'], experts['return_routed_experts']], [true, true]);
  assert.ok(!('top_logprobs' in experts));
});

test('a whole answer', async () => {
  serve(`: waiting\n\n${piece('Once')}${piece(' upon', 'stop')}data: [DONE]\n\n`);
  assert.equal(await contentOf(), 'Once upon');
});

test('a stream that ends before the answer is cut', async () => {
  serve(piece('Once'));
  await assert.rejects(contentOf, isKind('cut'));
});

test('an answer that has ended needs no [DONE]', async () => {
  serve(piece('Once', 'length'));
  assert.equal(await contentOf(), 'Once');
});

test('an error inside the stream', async () => {
  serve(piece('Once') + event({ error: { message: 'out of memory' } }));
  await assert.rejects(contentOf, /The server broke the answer off: Out of memory\./u);
});

test('each status its failure', async () => {
  const error = (message: string): string => JSON.stringify({ error: { message } });
  const table: [number, string, string][] = [
    [401, '', 'key'],
    [400, error('the prompt has 2704 tokens, the context holds 512: shorten it'), 'too_long'],
    [400, error('temperature is 9, expected 0 to 2'), 'refused'],
    [404, '<html>', 'refused'],
    [429, error('busy'), 'busy'],
    [503, '', 'stopping'],
    [500, error('engine failed'), 'server'],
  ];
  for (const [status, body, kind] of table) {
    serve(body, { status });
    await assert.rejects(contentOf, isKind(kind), `${status}`);
  }
});

test('no server at all', async () => {
  globalThis.fetch = () => Promise.reject(new TypeError('failed to fetch'));
  await assert.rejects(contentOf, isKind('unreachable'));
});

test('models with their context and experts', async () => {
  const routed_experts = { n_layers: 58, n_routed_experts: 256, num_experts_per_tok: 8 };
  const data = [
    { id: 'a', max_model_len: 512, routed_experts },
    { id: 'b', routed_experts: { ...routed_experts, n_layers: 0 } },
  ];
  serve(JSON.stringify({ data }));
  assert.deepEqual(await listModels(''), [
    { id: 'a', contextLength: 512, experts: { layers: 58, experts: 256, perToken: 8 } },
    { id: 'b', contextLength: null, experts: null },
  ]);
});

test('tokens, reasoning and usage of a step', () => {
  const top = [{ token: ' a', logprob: -1.5, bytes: [32, 97] }];
  const step = readStep(
    JSON.stringify({
      choices: [
        {
          delta: { reasoning_content: 'hm' },
          finish_reason: null,
          logprobs: { content: [{ ...top[0], top_logprobs: top }] },
          routed_experts: [
            [
              [9, 2],
              [7, 'x'],
            ],
            null,
          ],
        },
      ],
      usage: {
        prompt_tokens: 5,
        completion_tokens: 2,
        prompt_tokens_details: { cached_tokens: 3 },
      },
    }),
  );
  assert.equal(step.reasoning, 'hm');
  assert.deepEqual(step.tokens, [
    { text: ' a', logprob: -1.5, bytes: [32, 97], alternatives: [{ text: ' a', logprob: -1.5 }] },
  ]);
  assert.deepEqual(step.routed, [[[9, 2], [7, -1]], []]); // prettier-ignore
  assert.deepEqual(step.usage, {
    prompt_tokens: 5,
    completion_tokens: 2,
    cached_tokens: 3,
    reasoning_tokens: 0,
  });
});

test('what is no chunk is said, not shown', () => {
  assert.throws(() => readStep('{'), isKind('server'));
  assert.throws(() => readStep('7'), isKind('server'));
  assert.equal(readStep('{"choices":[]}').content, '');
});
