// All conversations, and which one is shown. Changes are kept in the database and told to the
// page's other tabs.
import { computed, signal } from '@preact/signals';
import { newOnes } from '../model/transfer';
import { newConversation, type Conversation } from '../model/types';
import * as database from './database';
import { notify } from './notices';
import { preset } from './preferences';
import { putAside, takeBack } from './rescue';
import * as tabs from './tabs';

const SAVE_EVERY_MS = 400;

export const conversations = signal<ReadonlyMap<string, Conversation>>(new Map());

/** A conversation without messages is not kept. */
const unsaved = signal<Conversation>(newConversation());
const currentId = signal(unsaved.value.id);

export const current = computed(() => conversations.value.get(currentId.value) ?? unsaved.value);

/** The newest first. */
export const sorted = computed(() =>
  [...conversations.value.values()].sort((a, b) => b.updatedAt - a.updatedAt),
);

export function conversation(id: string): Conversation | undefined {
  return unsaved.value.id === id ? unsaved.value : conversations.value.get(id);
}

export function update(id: string, change: (conversation: Conversation) => Conversation): void {
  const before = conversations.value.get(id) ?? (unsaved.value.id === id ? unsaved.value : null);
  if (!before) return; // deleted meanwhile
  const after = change(before);
  if (after.messages.length === 0 && !conversations.value.has(id)) {
    unsaved.value = after;
    return;
  }
  put(after);
  if (unsaved.value.id === id) unsaved.value = newConversation(preset.value);
  saveSoon(id);
}

function put(one: Conversation): void {
  conversations.value = new Map(conversations.value).set(one.id, one);
}

const waiting = new Set<string>();
const underWay = new Set<string>();
let timer: ReturnType<typeof setTimeout> | null = null;

function saveSoon(id: string): void {
  waiting.add(id);
  timer ??= setTimeout(saveNow, SAVE_EVERY_MS);
}

export function saveNow(): void {
  if (timer !== null) clearTimeout(timer);
  timer = null;
  for (const id of waiting) {
    const one = conversations.value.get(id);
    if (one) void save(one);
  }
  waiting.clear();
}

async function save(one: Conversation): Promise<void> {
  underWay.add(one.id);
  try {
    await database.save(one);
    tabs.tell(one.id);
  } catch {
    storageFailed();
  }
  underWay.delete(one.id);
}

function rescue(): void {
  const ids = new Set([...waiting, ...underWay]);
  putAside([...conversations.value.values()].filter(({ id }) => ids.has(id)));
  saveNow();
}

let isStorageBroken = false;

function storageFailed(): void {
  if (isStorageBroken) return;
  isStorageBroken = true;
  notify('This browser does not keep conversations for this page: they end with the tab.');
}

export function startConversation(): void {
  unsaved.value = newConversation(preset.value);
  show(unsaved.value.id);
}

/** Shows a conversation; the address remembers it for reload and the back button. */
export function show(id: string): void {
  if (id === currentId.value) return;
  currentId.value = id;
  history.pushState(null, '', conversations.value.has(id) ? `#${id}` : location.pathname);
}

/** After the first message, an unsaved conversation has an address. */
export function nameInAddress(id: string): void {
  if (id === currentId.value) history.replaceState(null, '', `#${id}`);
}

function showByAddress(): void {
  const id = location.hash.slice(1);
  if (conversations.value.has(id)) currentId.value = id;
  else currentId.value = unsaved.value.id;
}

export function rename(id: string, title: string): void {
  const trimmed = title.trim();
  if (trimmed) update(id, (one) => ({ ...one, title: trimmed, isRenamed: true }));
}

export function remove(id: string): void {
  const removed = conversations.value.get(id);
  if (!removed) return;
  const rest = new Map(conversations.value);
  rest.delete(id);
  conversations.value = rest;
  waiting.delete(id);
  database.remove(id).then(() => tabs.tell(id), storageFailed);
  if (currentId.value === id) startConversation();
  notify(`“${removed.title}” is deleted.`, {
    label: 'Undo',
    run: () => {
      put(removed);
      saveSoon(id);
      show(id);
    },
  });
}

/** How many of them were new. */
export function addImported(imported: Conversation[]): number {
  const fresh = newOnes(imported, conversations.value);
  for (const one of fresh) {
    put(one);
    saveSoon(one.id);
  }
  return fresh.length;
}

/** Takes over what another tab saved or removed. */
async function takeOver(id: string): Promise<void> {
  if (waiting.has(id)) return;
  const one = await database.load(id);
  if (one) return put(one);
  const rest = new Map(conversations.value);
  rest.delete(id);
  conversations.value = rest;
}

export async function openStore(): Promise<void> {
  unsaved.value = newConversation(preset.value);
  currentId.value = unsaved.value.id;
  try {
    const loaded = await database.loadAll();
    conversations.value = new Map(loaded.map((one) => [one.id, one]));
  } catch {
    storageFailed();
  }
  for (const one of takeBack()) {
    if ((conversations.value.get(one.id)?.updatedAt ?? 0) > one.updatedAt) continue;
    put(one);
    saveSoon(one.id);
  }
  showByAddress();
  addEventListener('popstate', showByAddress);
  addEventListener('pagehide', rescue);
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) saveNow();
  });
  tabs.listen((id) => takeOver(id).catch(storageFailed));
}
