// What the reader set for the whole page, kept in the browser's localStorage.
import { effect, signal } from '@preact/signals';
import { EMPTY_PRESET, type Preset } from '../model/types';
import { readPreset } from '../model/transfer';

export type Theme = 'system' | 'light' | 'dark';
const THEMES: readonly Theme[] = ['system', 'light', 'dark'];

const names = {
  theme: 'fathom.theme',
  key: 'fathom.key',
  preset: 'fathom.preset',
  sidebar: 'fathom.sidebar',
};

/** Storage may be switched off altogether; then everything lives as long as the tab. */
function read(storage: 'localStorage' | 'sessionStorage', name: string): string {
  try {
    return globalThis[storage].getItem(name) ?? '';
  } catch {
    return '';
  }
}

function write(storage: 'localStorage' | 'sessionStorage', name: string, value: string): void {
  try {
    if (value) globalThis[storage].setItem(name, value);
    else globalThis[storage].removeItem(name);
  } catch {
    // as above
  }
}

export const theme = signal<Theme>(
  THEMES.find((one) => one === read('localStorage', names.theme)) ?? 'system',
);

export function setTheme(next: Theme): void {
  theme.value = next;
  write('localStorage', names.theme, next === 'system' ? '' : next);
}

/** The styles know light and dark only; what the system wants is looked up here, and followed. */
export function applyTheme(): void {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const isSystemDark = signal(system.matches);
  system.addEventListener('change', () => (isSystemDark.value = system.matches));
  effect(() => {
    const ofSystem = isSystemDark.value ? 'dark' : 'light';
    document.documentElement.dataset['theme'] = theme.value === 'system' ? ofSystem : theme.value;
  });
}

export const apiKey = signal(read('sessionStorage', names.key) || read('localStorage', names.key));

export function isKeyRemembered(): boolean {
  return read('localStorage', names.key) !== '';
}

/** A key that is not remembered ends with the tab. */
export function setApiKey(key: string, isRemembered: boolean): void {
  apiKey.value = key;
  write('sessionStorage', names.key, key);
  write('localStorage', names.key, isRemembered ? key : '');
}

function storedPreset(): Preset {
  try {
    return readPreset(JSON.parse(read('localStorage', names.preset)), 'preset');
  } catch {
    return EMPTY_PRESET;
  }
}

/** What new conversations begin with. */
export const preset = signal<Preset>(storedPreset());

export function setPreset(next: Preset): void {
  preset.value = next;
  write('localStorage', names.preset, JSON.stringify(next));
}

export const isSidebarWanted = signal(read('localStorage', names.sidebar) !== 'closed');

export function setSidebarWanted(isWanted: boolean): void {
  isSidebarWanted.value = isWanted;
  write('localStorage', names.sidebar, isWanted ? '' : 'closed');
}

export function readDraft(id: string): string {
  return read('sessionStorage', `fathom.draft.${id}`);
}

export function writeDraft(id: string, text: string): void {
  write('sessionStorage', `fathom.draft.${id}`, text);
}
