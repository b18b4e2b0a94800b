// Conversations as a file: what export writes, and the reading of files that anyone may have
// written. Records of the browser's own database pass the same reader.
import { readRouting } from './routing';
import { shownPath } from './tree';
import {
  newId,
  type Conversation,
  type Message,
  type Preset,
  type ScoredToken,
  type Usage,
} from './types';
import {
  isRecord,
  list,
  nullable,
  number,
  optional,
  readFields,
  text,
  truth,
  type Reader,
} from './reader';

export const FORMAT = 'fathom-conversations';
export const VERSION = 1;
export const FILE_BYTES_MAX = 256 * 1024 * 1024;

const failureKinds = [
  'unreachable',
  'key',
  'too_long',
  'busy',
  'stopping',
  'refused',
  'server',
  'cut',
] as const;
const states = ['streaming', 'complete', 'stopped', 'failed'] as const;
const roles = ['user', 'assistant'] as const;

const oneOf =
  <T extends string>(names: readonly T[]): Reader<T> =>
  (value, where) => {
    const found = names.find((name) => name === value);
    if (found === undefined) throw new Error(`${where} is none of ${names.join(', ')}`);
    return found;
  };

const readAlternative = readFields({ text, logprob: number });
const readToken: Reader<ScoredToken> = readFields({
  text,
  logprob: number,
  bytes: list(number),
  alternatives: list(readAlternative),
});
const readUsage: Reader<Usage> = readFields({
  prompt_tokens: number,
  completion_tokens: number,
  cached_tokens: optional(number, 0),
  reasoning_tokens: optional(number, 0),
});

const readMessage: Reader<Message> = readFields({
  id: text,
  parentId: nullable(text),
  role: oneOf(roles),
  createdAt: number,
  content: text,
  reasoning: optional(text, ''),
  state: optional(oneOf(states), 'complete'),
  finishReason: optional(nullable(text), null),
  model: optional(nullable(text), null),
  usage: optional(nullable(readUsage), null),
  timing: optional(nullable(readFields({ firstTokenMs: number, totalMs: number })), null),
  pieces: optional(number, 0),
  tokens: optional(list(readToken), []),
  routing: optional(nullable(readRouting), null),
  failure: optional(nullable(readFields({ kind: oneOf(failureKinds), message: text })), null),
});

const readSampling = readFields({
  temperature: optional(nullable(number), null),
  top_p: optional(nullable(number), null),
  max_tokens: optional(nullable(number), null),
  seed: optional(nullable(number), null),
});

/** What new conversations begin with, as preferences keep it. */
export const readPreset: Reader<Preset> = readFields({
  system: text,
  sampling: readSampling,
  wantsProbabilities: truth,
  wantsExperts: optional(truth, false),
});

const readChosen: Reader<Record<string, string>> = (value, where) => {
  if (!isRecord(value)) throw new Error(`${where} is no object`);
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [key, text(child, `${where}.${key}`)]),
  );
};

const readShape: Reader<Conversation> = readFields({
  id: text,
  title: text,
  isRenamed: optional(truth, false),
  createdAt: number,
  updatedAt: number,
  system: optional(text, ''),
  sampling: readSampling,
  wantsProbabilities: optional(truth, false),
  wantsExperts: optional(truth, false),
  messages: list(readMessage),
  chosen: optional(readChosen, {}),
});

/** Throws an Error that says what is wrong and where. */
export function readConversation(value: unknown, where: string): Conversation {
  const conversation = readShape(value, where);
  const ids = new Set<string>();
  for (const message of conversation.messages) {
    // A parent stands before its children: so there are no circles and no orphans.
    if (message.parentId !== null && !ids.has(message.parentId))
      throw new Error(`${where} has a message whose parent does not stand before it`);
    if (ids.has(message.id)) throw new Error(`${where} has two messages with one id`);
    ids.add(message.id);
  }
  return conversation;
}

export function exportText(conversations: Conversation[]): string {
  return `${JSON.stringify({ format: FORMAT, version: VERSION, conversations }, null, 1)}\n`;
}

/** The conversations of an exported file. Throws an Error with one sentence for the reader. */
export function readExport(source: string): Conversation[] {
  let file: unknown;
  try {
    file = JSON.parse(source);
  } catch {
    throw new Error('The file is no JSON.');
  }
  if (!isRecord(file) || file['format'] !== FORMAT)
    throw new Error('The file is no export of this page.');
  if (file['version'] !== VERSION)
    throw new Error(`The file has version ${String(file['version'])}, expected ${VERSION}.`);
  const conversations = file['conversations'];
  if (!Array.isArray(conversations)) throw new Error('The file has no list of conversations.');
  try {
    return conversations.map((value, i) => readConversation(value, `conversation ${i + 1}`));
  } catch (error) {
    throw new Error(`The file cannot be read: ${(error as Error).message}.`);
  }
}

/**
 * What of `imported` is new: the same one twice is left out, another one of the same id gets its
 * own.
 */
export function newOnes(
  imported: Conversation[],
  kept: ReadonlyMap<string, Conversation>,
): Conversation[] {
  return imported
    .filter((one) => kept.get(one.id)?.updatedAt !== one.updatedAt)
    .map((one) => (kept.has(one.id) ? { ...one, id: newId() } : one));
}

/** The shown branch as a text to read or paste. */
export function asMarkdown(conversation: Conversation, assistant: string): string {
  const parts = shownPath(conversation).map(
    (message) => `**${message.role === 'user' ? 'You' : assistant}**\n\n${message.content}`,
  );
  return `# ${conversation.title}\n\n${parts.join('\n\n')}\n`;
}
