// What is open on the page.
import { signal } from '@preact/signals';

export type DialogName = 'settings' | 'shortcuts' | 'key';

export const dialog = signal<DialogName | null>(null);
export const search = signal('');
/** The list of conversations over the page, on narrow screens. */
export const isDrawerOpen = signal(false);
/** The message that is being edited. */
export const editing = signal<string | null>(null);

export function openDialog(name: DialogName): void {
  dialog.value = name;
}

/** For actions whose button goes away. */
export function focusLastMessage(): void {
  requestAnimationFrame(() => {
    const messages = document.querySelectorAll<HTMLElement>('.message');
    messages[messages.length - 1]?.focus({ preventScroll: true });
  });
}

export function focusComposer(): void {
  document.querySelector<HTMLTextAreaElement>('#composer')?.focus();
}
