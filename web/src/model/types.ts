// What the page keeps: conversations as trees of messages. Names of the API's own fields stay as
// they are there.
import type { Routing } from './routing';

export type Role = 'user' | 'assistant';

/** null leaves the choice to the server. */
export interface Sampling {
  temperature: number | null;
  top_p: number | null;
  max_tokens: number | null;
  seed: number | null;
}

export interface Alternative {
  text: string;
  logprob: number;
}

export interface ScoredToken extends Alternative {
  /** UTF-8 of the token; a character may be spread over several tokens. */
  bytes: number[];
  alternatives: Alternative[];
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
  reasoning_tokens: number;
}

/** By this page's own clock, from sending the request. */
export interface Timing {
  firstTokenMs: number;
  totalMs: number;
}

export type FailureKind =
  | 'unreachable' // no answer from the server at all
  | 'key' // 401
  | 'too_long' // the conversation does not fit the context
  | 'busy' // 429
  | 'stopping' // 503
  | 'refused' // any other 4xx: the request is at fault
  | 'server' // 5xx, or an error inside a stream
  | 'cut'; // the stream ended before the answer did

export interface Failure {
  kind: FailureKind;
  /** One sentence for the reader. */
  message: string;
}

/**
 * `streaming` in a message that no run of this page writes means that the page was closed
 * meanwhile.
 */
export type AnswerState = 'streaming' | 'complete' | 'stopped' | 'failed';

export interface Message {
  id: string;
  /** null: the first of its conversation. */
  parentId: string | null;
  role: Role;
  createdAt: number;
  content: string;
  reasoning: string;
  state: AnswerState;
  finishReason: string | null;
  model: string | null;
  usage: Usage | null;
  timing: Timing | null;
  /** Steps of the stream with text in them: about the tokens, until `usage` says it exactly. */
  pieces: number;
  tokens: ScoredToken[];
  /** Of the first tokens, one for one; null where nobody asked. */
  routing: Routing | null;
  failure: Failure | null;
}

export interface Conversation {
  id: string;
  title: string;
  /** Whether the reader gave the title; until then the first message does. */
  isRenamed: boolean;
  createdAt: number;
  updatedAt: number;
  system: string;
  sampling: Sampling;
  /** Whether answers are asked for with the probabilities of their tokens. */
  wantsProbabilities: boolean;
  /** Whether answers are asked for with the experts that wrote their tokens. */
  wantsExperts: boolean;
  messages: Message[];
  /** Parent's id (ROOT for none) -> the child that is shown. */
  chosen: Record<string, string>;
}

export const SERVER_DEFAULTS: Sampling = {
  temperature: null,
  top_p: null,
  max_tokens: null,
  seed: null,
};

/** crypto.randomUUID is missing on plain-http pages of other machines. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export type Preset = Pick<
  Conversation,
  'system' | 'sampling' | 'wantsProbabilities' | 'wantsExperts'
>;

export const EMPTY_PRESET: Preset = {
  system: '',
  sampling: SERVER_DEFAULTS,
  wantsProbabilities: false,
  wantsExperts: false,
};

export function newConversation(preset: Preset = EMPTY_PRESET): Conversation {
  const now = Date.now();
  return {
    id: newId(),
    title: 'New conversation',
    isRenamed: false,
    createdAt: now,
    updatedAt: now,
    system: preset.system,
    sampling: { ...preset.sampling },
    wantsProbabilities: preset.wantsProbabilities,
    wantsExperts: preset.wantsExperts,
    messages: [],
    chosen: {},
  };
}

export function newMessage(role: Role, parentId: string | null, content = ''): Message {
  return {
    id: newId(),
    parentId,
    role,
    createdAt: Date.now(),
    content,
    reasoning: '',
    state: role === 'user' ? 'complete' : 'streaming',
    finishReason: null,
    model: null,
    usage: null,
    timing: null,
    pieces: 0,
    tokens: [],
    routing: null,
    failure: null,
  };
}
