// A conversation as a tree: an edited message or a regenerated answer is a sibling of the old one,
// nothing is lost. All functions are pure: they return a new conversation and share what did not
// change.
import type { Conversation, Message } from './types';

export const ROOT = 'root';

const TITLE_LENGTH_MAX = 60;

const keyOf = (parentId: string | null): string => parentId ?? ROOT;

export function siblings(conversation: Conversation, message: Message): Message[] {
  return conversation.messages.filter((other) => other.parentId === message.parentId);
}

/**
 * The messages that are shown: from the root along the chosen children, the newest child where none
 * is chosen.
 */
export function shownPath(conversation: Conversation): Message[] {
  const children = new Map<string, Message[]>();
  for (const message of conversation.messages) {
    const key = keyOf(message.parentId);
    children.set(key, [...(children.get(key) ?? []), message]);
  }
  const path: Message[] = [];
  let key = ROOT;
  for (;;) {
    const here: Message[] = children.get(key) ?? [];
    const next: Message | undefined =
      here.find((message) => message.id === conversation.chosen[key]) ?? here[here.length - 1];
    if (!next) return path;
    children.delete(key); // a file from elsewhere may hold a circle
    path.push(next);
    key = next.id;
  }
}

/** From the root to the message itself, whatever is shown. */
export function pathTo(conversation: Conversation, id: string): Message[] {
  const byId = new Map(conversation.messages.map((message) => [message.id, message]));
  const path: Message[] = [];
  for (let message = byId.get(id); message; message = byId.get(message.parentId ?? '')) {
    byId.delete(message.id);
    path.unshift(message);
  }
  return path;
}

/** Adds a message and shows it. */
export function withMessage(conversation: Conversation, message: Message): Conversation {
  const next: Conversation = {
    ...conversation,
    messages: [...conversation.messages, message],
    chosen: { ...conversation.chosen, [keyOf(message.parentId)]: message.id },
    updatedAt: Date.now(),
  };
  const isFirst = conversation.messages.length === 0;
  return isFirst && !next.isRenamed ? { ...next, title: titleFrom(message.content) } : next;
}

export function withChanged(
  conversation: Conversation,
  id: string,
  change: Partial<Message>,
): Conversation {
  return {
    ...conversation,
    messages: conversation.messages.map((m) => (m.id === id ? { ...m, ...change } : m)),
    updatedAt: Date.now(),
  };
}

/** Removes a message and all that follows it. */
export function without(conversation: Conversation, id: string): Conversation {
  const gone = new Set([id]);
  for (let before = 0; before !== gone.size;) {
    before = gone.size;
    for (const message of conversation.messages)
      if (message.parentId !== null && gone.has(message.parentId)) gone.add(message.id);
  }
  const chosen = Object.entries(conversation.chosen).filter(
    ([key, value]) => !gone.has(key) && !gone.has(value),
  );
  return {
    ...conversation,
    messages: conversation.messages.filter((message) => !gone.has(message.id)),
    chosen: Object.fromEntries(chosen),
  };
}

/** Shows this sibling; what was chosen below it stays chosen. */
export function withChosen(conversation: Conversation, message: Message): Conversation {
  const chosen = { ...conversation.chosen, [keyOf(message.parentId)]: message.id };
  return { ...conversation, chosen };
}

export function titleFrom(text: string): string {
  const line = text.trim().split('\n')[0]?.trim() ?? '';
  const characters = [...line];
  if (characters.length <= TITLE_LENGTH_MAX) return line || 'New conversation';
  const cut = characters.slice(0, TITLE_LENGTH_MAX).join('');
  return `${cut.replace(/\s+\S*$/u, '')}…`;
}

/** Every word of the query occurs in the title or in one of the messages, case aside. */
export function matches(conversation: Conversation, query: string): boolean {
  const words = query.toLowerCase().split(/\s+/u).filter(Boolean);
  if (words.length === 0) return true;
  const texts = [conversation.title, ...conversation.messages.map((message) => message.content)];
  const all = texts.join('\n').toLowerCase();
  return words.every((word) => all.includes(word));
}
