// What the page's tabs tell each other: which conversation has changed, and which are being
// answered where.
import { signal } from '@preact/signals';
import { isRecord } from '../model/reader';

const channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('fathom');

/** Conversations that this tab writes an answer into. */
const own = new Set<string>();

/** Conversations that other tabs write answers into. */
export const elsewhere = signal<ReadonlySet<string>>(new Set());

export function setWriting(id: string, isWriting: boolean): void {
  if (isWriting) own.add(id);
  else own.delete(id);
}

/** After a conversation was saved or removed. */
export function tell(id: string): void {
  channel?.postMessage({ id, isWriting: own.has(id) });
}

function setElsewhere(id: string, isWriting: boolean): void {
  if (elsewhere.value.has(id) === isWriting) return;
  const next = new Set(elsewhere.value);
  if (isWriting) next.add(id);
  else next.delete(id);
  elsewhere.value = next;
}

export function listen(onChange: (id: string) => void): void {
  channel?.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
    if (!isRecord(data) || typeof data['id'] !== 'string' || own.has(data['id'])) return;
    setElsewhere(data['id'], data['isWriting'] === true);
    onChange(data['id']);
  });
  addEventListener('pagehide', () => {
    for (const id of own) channel?.postMessage({ id, isWriting: false });
  });
}
