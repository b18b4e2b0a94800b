// Conversations in the browser's IndexedDB, one record each.
import { readConversation } from '../model/transfer';
import type { Conversation } from '../model/types';

const NAME = 'fathom';
const STORE = 'conversations';
const VERSION = 1;

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error('the database failed'));
  });
}

let opened: Promise<IDBDatabase> | null = null;

async function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(NAME, VERSION);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'id' });
  const database = await done(request);
  database.onclose = () => (opened = null); // by the browser: opened again with the next access
  return database;
}

async function store(mode: IDBTransactionMode): Promise<IDBObjectStore> {
  opened ??= open();
  return (await opened).transaction(STORE, mode).objectStore(STORE);
}

function readable(record: unknown): Conversation[] {
  try {
    return [readConversation(record, 'record')];
  } catch {
    return []; // of another version of this page: left where it is
  }
}

export async function loadAll(): Promise<Conversation[]> {
  const records: unknown[] = await done((await store('readonly')).getAll());
  return records.flatMap(readable);
}

export async function load(id: string): Promise<Conversation | null> {
  const record: unknown = await done((await store('readonly')).get(id));
  return readable(record)[0] ?? null;
}

export async function save(conversation: Conversation): Promise<void> {
  await done((await store('readwrite')).put(conversation));
}

export async function remove(id: string): Promise<void> {
  await done((await store('readwrite')).delete(id));
}
