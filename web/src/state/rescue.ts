// What was not in the database yet when the page went away. The database does not finish its writes
// then; localStorage writes at once.
import { exportText, readExport } from '../model/transfer';
import type { Conversation } from '../model/types';

const NAME = 'fathom.rescue';

export function putAside(conversations: Conversation[]): void {
  if (conversations.length === 0) return;
  try {
    localStorage.setItem(NAME, exportText(conversations));
  } catch {
    // full, or switched off: the last half second is lost
  }
}

/** Gives what was put aside, once. */
export function takeBack(): Conversation[] {
  try {
    const text = localStorage.getItem(NAME);
    localStorage.removeItem(NAME);
    return text === null ? [] : readExport(text);
  } catch {
    return [];
  }
}
