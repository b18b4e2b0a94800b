// Short messages at the edge of the page, and what screen readers are told.
import { signal } from '@preact/signals';

export interface Notice {
  message: string;
  action?: { label: string; run: () => void };
}

const NOTICE_MS = 6000;

export const notice = signal<Notice | null>(null);
export const announcement = signal('');

let timer: ReturnType<typeof setTimeout> | undefined;

/** A notice with an action stays until it is used or closed. */
export function notify(message: string, action?: Notice['action']): void {
  clearTimeout(timer);
  notice.value = action ? { message, action } : { message };
  if (!action) timer = setTimeout(dismiss, NOTICE_MS);
}

export function dismiss(): void {
  notice.value = null;
}

export function announce(message: string): void {
  announcement.value = message;
}
