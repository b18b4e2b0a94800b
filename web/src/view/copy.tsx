// Copying to the clipboard, also where the page has no secure origin.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { announce, notify } from '../state/notices';
import { IconButton } from './icons';

const SHOWN_MS = 1600;

/** navigator.clipboard is missing on plain-http pages of other machines. */
function copyBySelection(text: string): boolean {
  const field = document.createElement('textarea');
  field.value = text;
  field.className = 'visually-hidden';
  const focused = document.activeElement;
  (document.querySelector('dialog[open]') ?? document.body).append(field);
  field.select();
  const isCopied = document.execCommand('copy');
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return isCopied;
}

export async function copyText(text: string): Promise<boolean> {
  let isCopied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    isCopied = copyBySelection(text);
  }
  if (isCopied) announce('Copied.');
  else notify('The browser did not let this page copy.');
  return isCopied;
}

export function CopyButton({ label, text }: { label: string; text: () => string }): JSX.Element {
  const [isCopied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    if (!(await copyText(text()))) return;
    setCopied(true);
    setTimeout(() => setCopied(false), SHOWN_MS);
  };
  return (
    <IconButton icon={isCopied ? 'check' : 'copy'} label={label} onClick={() => void copy()} />
  );
}

/** For the buttons in the heads of code blocks, which are no components. */
export async function copyCodeOf(button: HTMLElement): Promise<void> {
  const code = button.closest('.code-block')?.querySelector('code')?.textContent ?? '';
  if (!(await copyText(code))) return;
  button.textContent = 'Copied';
  setTimeout(() => (button.textContent = 'Copy code'), SHOWN_MS);
}
