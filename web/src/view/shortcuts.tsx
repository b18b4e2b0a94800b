// Keys for everything, and the dialog that lists them.
import type { JSX } from 'preact';
import { shownPath } from '../model/tree';
import { isRunning, regenerate, stop } from '../state/generation';
import { current } from '../state/store';
import { focusComposer, openDialog } from '../state/ui';
import { Dialog } from './dialog';
import { newConversationHere } from './sidebar';
import { closeDrawer, isNarrow, isSidebarShown, showSidebar, toggleSidebar } from './sidebar_state';

interface Shortcut {
  keys: string;
  what: string;
  /** Absent where the field itself handles the key. */
  matches?: (event: KeyboardEvent, isCommand: boolean) => boolean;
  run?: () => void;
}

function focusSearch(): void {
  showSidebar(true);
  requestAnimationFrame(() => document.getElementById('search')?.focus());
}

function regenerateLast(): void {
  const last = shownPath(current.value).at(-1);
  if (last?.role === 'assistant') regenerate(current.value.id, last);
}

/** Focus to the message before or after the one that has it. */
function goToMessage(step: number): void {
  const messages = [...document.querySelectorAll<HTMLElement>('.message')];
  const at = messages.findIndex((message) => message.contains(document.activeElement));
  const next = at < 0 ? messages.length - 1 : Math.min(messages.length - 1, Math.max(0, at + step));
  messages[next]?.focus();
  messages[next]?.scrollIntoView({ block: 'nearest' });
}

function onEscape(): void {
  if (isNarrow.value && isSidebarShown.value) closeDrawer();
  else if (isRunning(current.value.id)) stop(current.value.id);
}

const key = (event: KeyboardEvent, name: string): boolean => event.key.toLowerCase() === name;

const SHORTCUTS: Shortcut[] = [
  { keys: 'Enter', what: 'Send the message' },
  { keys: 'Shift Enter', what: 'New line' },
  { keys: '↑', what: 'In the empty field: edit the last message' },
  {
    keys: 'Esc',
    what: 'Stop the answer, close what is open',
    matches: (e) => e.key === 'Escape' && !e.shiftKey,
    run: onEscape,
  },
  {
    keys: 'Shift Esc',
    what: 'To the message field',
    matches: (e) => e.key === 'Escape' && e.shiftKey,
    run: focusComposer,
  },
  {
    keys: 'Alt ↑',
    what: 'To the message before',
    matches: (e) => e.altKey && e.key === 'ArrowUp',
    run: () => goToMessage(-1),
  },
  {
    keys: 'Alt ↓',
    what: 'To the message after',
    matches: (e) => e.altKey && e.key === 'ArrowDown',
    run: () => goToMessage(1),
  },
  {
    keys: 'Alt R',
    what: 'Regenerate the last answer',
    matches: (e) => e.altKey && e.code === 'KeyR',
    run: regenerateLast,
  },
  {
    keys: 'Ctrl Shift O',
    what: 'New conversation',
    matches: (e, c) => c && e.shiftKey && key(e, 'o'),
    run: newConversationHere,
  },
  {
    keys: 'Ctrl K',
    what: 'Search conversations',
    matches: (e, c) => c && key(e, 'k'),
    run: focusSearch,
  },
  {
    keys: 'Ctrl B',
    what: 'Show or hide the list of conversations',
    matches: (e, c) => c && key(e, 'b'),
    run: toggleSidebar,
  },
  {
    keys: 'Ctrl ,',
    what: 'Settings',
    matches: (e, c) => c && e.key === ',',
    run: () => openDialog('settings'),
  },
  {
    keys: 'Ctrl /',
    what: 'This list',
    matches: (e, c) => c && e.key === '/',
    run: () => openDialog('shortcuts'),
  },
];

export function installShortcuts(): void {
  document.addEventListener('keydown', (event) => {
    if (document.querySelector('dialog[open]') || event.isComposing || event.defaultPrevented)
      return;
    const isCommand = (event.ctrlKey || event.metaKey) && !event.altKey;
    const found = SHORTCUTS.find((one) => one.matches?.(event, isCommand));
    if (!found?.run) return;
    event.preventDefault();
    found.run();
  });
}

export function ShortcutsDialog(): JSX.Element {
  return (
    <Dialog title="Keyboard shortcuts">
      <dl class="shortcuts">
        {SHORTCUTS.map(({ keys, what }) => (
          <div key={keys}>
            <dt>
              {keys.split(' ').map((one) => (
                <kbd key={one}>{one}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p class="hint">On a Mac, ⌘ stands for Ctrl as well.</p>
    </Dialog>
  );
}
