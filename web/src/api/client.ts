// The server's API as this page uses it: the list of models, and one streamed answer.
import { isRecord } from '../model/reader';
import { isShape, type ExpertShape } from '../model/routing';
import type { Sampling, ScoredToken, Usage } from '../model/types';
import { ApiFailure, failureOf, streamFailure } from './failure';
import { readEvents } from './sse';

const TOP_LOGPROBS = 5;

export interface Model {
  id: string;
  /** Tokens of prompt and answer together; null where the server does not say. */
  contextLength: number | null;
  /** null where it has no experts, or the server cannot name them. */
  experts: ExpertShape | null;
}

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
  /** The answer's beginning, to go on with. */
  prefix?: true;
}

export interface ChatRequest {
  model: string;
  messages: ChatMessage[];
  sampling: Sampling;
  wantsProbabilities: boolean;
  wantsExperts: boolean;
}

/** One step of an answer; every field may be empty. */
export interface ChatStep {
  content: string;
  reasoning: string;
  tokens: ScoredToken[];
  /** For each token, for each layer, its experts. */
  routed: number[][][];
  finishReason: string | null;
  usage: Usage | null;
}

export function requestBody(request: ChatRequest): Record<string, unknown> {
  const sampling = Object.entries(request.sampling).filter(([, value]) => value !== null);
  const { wantsProbabilities, wantsExperts } = request;
  return {
    model: request.model,
    messages: request.messages,
    stream: true,
    stream_options: { include_usage: true },
    ...Object.fromEntries(sampling),
    // Experts are shown beside the texts of their tokens, which come with logprobs alone.
    ...(wantsProbabilities || wantsExperts ? { logprobs: true } : {}),
    ...(wantsProbabilities ? { top_logprobs: TOP_LOGPROBS } : {}),
    ...(wantsExperts ? { return_routed_experts: true } : {}),
  };
}

async function ask(path: string, key: string, init: RequestInit): Promise<Response> {
  const headers = new Headers(init.headers);
  if (key) headers.set('Authorization', `Bearer ${key}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, cache: 'no-store' });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiFailure('unreachable', 'The server does not answer. Is it still running?');
  }
  if (!response.ok) throw await failureOf(response);
  return response;
}

export async function listModels(key: string): Promise<Model[]> {
  const response = await ask('v1/models', key, {});
  const body: unknown = await response.json().catch(() => null);
  const data = isRecord(body) && Array.isArray(body['data']) ? body['data'] : [];
  return data.filter(isRecord).map((model) => ({
    id: String(model['id']),
    contextLength: typeof model['max_model_len'] === 'number' ? model['max_model_len'] : null,
    experts: expertsOf(model['routed_experts']),
  }));
}

function expertsOf(value: unknown): ExpertShape | null {
  if (!isRecord(value)) return null;
  const shape = {
    layers: countOf(value['n_layers']),
    experts: countOf(value['n_routed_experts']),
    perToken: countOf(value['num_experts_per_tok']),
  };
  return isShape(shape) ? shape : null;
}

/** The answer in steps. Throws ApiFailure, or the abort's own error if `signal` ended it. */
export async function* streamChat(
  request: ChatRequest,
  key: string,
  signal: AbortSignal,
): AsyncGenerator<ChatStep> {
  const response = await ask('v1/chat/completions', key, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(requestBody(request)),
    signal,
  });
  let isFinished = false;
  try {
    if (response.body === null) throw new Error('no body');
    for await (const data of readEvents(response.body)) {
      if (data === '[DONE]') return;
      const step = readStep(data);
      isFinished ||= step.finishReason !== null;
      yield step;
    }
  } catch (error) {
    if (error instanceof ApiFailure || signal.aborted) throw error;
    // The connection broke: said below.
  }
  if (!isFinished)
    throw new ApiFailure('cut', 'The connection broke before the answer was complete.');
}

export function readStep(data: string): ChatStep {
  let json: unknown;
  try {
    json = JSON.parse(data);
  } catch {
    throw new ApiFailure('server', 'The server sent something that is no JSON.');
  }
  if (!isRecord(json)) throw new ApiFailure('server', 'The server sent something unexpected.');
  if (json['error']) throw streamFailure(json['error']);
  const choice: unknown = Array.isArray(json['choices']) ? json['choices'][0] : undefined;
  const fields = isRecord(choice) ? choice : {};
  const delta = isRecord(fields['delta']) ? fields['delta'] : {};
  const finish = fields['finish_reason'];
  return {
    content: textOf(delta['content']) + callsOf(delta['tool_calls']),
    reasoning: textOf(delta['reasoning_content']),
    tokens: tokensOf(fields['logprobs']),
    routed: routedOf(fields['routed_experts']),
    finishReason: typeof finish === 'string' ? finish : null,
    usage: usageOf(json['usage']),
  };
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
const countOf = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** This page sends no tools; a call that comes all the same is shown as it is. */
function callsOf(calls: unknown): string {
  if (!Array.isArray(calls)) return '';
  return calls
    .map((call) => (isRecord(call) && isRecord(call['function']) ? call['function'] : {}))
    .map((call) => textOf(call['name']) + textOf(call['arguments']))
    .join('');
}

function tokensOf(logprobs: unknown): ScoredToken[] {
  const content = isRecord(logprobs) ? logprobs['content'] : null;
  if (!Array.isArray(content)) return [];
  return content.filter(isRecord).map((token) => ({
    ...alternativeOf(token),
    bytes: Array.isArray(token['bytes']) ? token['bytes'].map(countOf) : [],
    alternatives: Array.isArray(token['top_logprobs'])
      ? token['top_logprobs'].filter(isRecord).map(alternativeOf)
      : [],
  }));
}

/** What is no list becomes an empty one, which fits no model and is not kept. */
function routedOf(value: unknown): number[][][] {
  const listOf = (one: unknown): unknown[] => (Array.isArray(one) ? one : []);
  return listOf(value).map((token) =>
    listOf(token).map((layer) => listOf(layer).map((id) => (typeof id === 'number' ? id : -1))),
  );
}

function alternativeOf(token: Record<string, unknown>): { text: string; logprob: number } {
  // An impossible token has no finite logarithm, and JSON no infinity.
  const logprob = typeof token['logprob'] === 'number' ? token['logprob'] : -9999;
  return { text: textOf(token['token']), logprob };
}

function usageOf(usage: unknown): Usage | null {
  if (!isRecord(usage)) return null;
  const prompt = isRecord(usage['prompt_tokens_details']) ? usage['prompt_tokens_details'] : {};
  const completion = isRecord(usage['completion_tokens_details'])
    ? usage['completion_tokens_details']
    : {};
  return {
    prompt_tokens: countOf(usage['prompt_tokens']),
    completion_tokens: countOf(usage['completion_tokens']),
    cached_tokens: countOf(prompt['cached_tokens']),
    reasoning_tokens: countOf(completion['reasoning_tokens']),
  };
}
