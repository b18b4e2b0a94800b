// Text fields that grow with their text.

const HEIGHT_MAX_PX = 320;

export function fit(field: HTMLTextAreaElement | null): void {
  if (!field) return;
  field.style.height = 'auto';
  field.style.height = `${Math.min(field.scrollHeight, HEIGHT_MAX_PX)}px`;
}

/** Phones have no Shift+Enter: there Enter makes a line and the button sends. */
export const sendsByEnter = (): boolean => !matchMedia('(pointer: coarse)').matches;
