// The list of conversations stands beside the page on wide screens and over it on narrow ones.
import { computed, signal } from '@preact/signals';
import { isSidebarWanted, setSidebarWanted } from '../state/preferences';
import { isDrawerOpen } from '../state/ui';

const narrow = matchMedia('(max-width: 800px)');
export const isNarrow = signal(narrow.matches);
narrow.addEventListener('change', () => {
  isNarrow.value = narrow.matches;
  isDrawerOpen.value = false;
});

export const isSidebarShown = computed(() =>
  isNarrow.value ? isDrawerOpen.value : isSidebarWanted.value,
);

export function toggleSidebar(): void {
  showSidebar(!isSidebarShown.value);
}

export function showSidebar(isShown: boolean): void {
  if (isNarrow.value) isDrawerOpen.value = isShown;
  else setSidebarWanted(isShown);
}

export function closeDrawer(): void {
  if (!isDrawerOpen.value) return;
  isDrawerOpen.value = false;
  requestAnimationFrame(() =>
    document.querySelector<HTMLElement>('.header button[aria-expanded]')?.focus(),
  );
}
