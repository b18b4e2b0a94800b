// The whole page.
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { announcement, dismiss, notice } from '../state/notices';
import { current } from '../state/store';
import { dialog } from '../state/ui';
import { Header, ServerBanner } from './header';
import { IconButton } from './icons';
import { KeyDialog } from './key_dialog';
import { SettingsDialog } from './settings_dialog';
import { ShortcutsDialog } from './shortcuts';
import { Sidebar } from './sidebar';
import { isNarrow, isSidebarShown } from './sidebar_state';
import { Thread } from './thread';

export function App(): JSX.Element {
  const { title, messages } = current.value;
  useEffect(() => {
    document.title = messages.length > 0 ? `${title} · Fathom` : 'Fathom';
  }, [title, messages.length === 0]);
  const isCovered = isNarrow.value && isSidebarShown.value;
  return (
    <>
      <a
        class="skip"
        href="#composer"
        onClick={(event) => {
          event.preventDefault();
          document.getElementById('composer')?.focus();
        }}
      >
        To the message field
      </a>
      <div class="page">
        <Sidebar />
        <div class="content" inert={isCovered}>
          <Header />
          <ServerBanner />
          <Thread />
        </div>
      </div>
      <NoticeView />
      <div class="visually-hidden" role="status" aria-live="polite">
        {announcement.value}
      </div>
      {dialog.value === 'settings' && <SettingsDialog />}
      {dialog.value === 'shortcuts' && <ShortcutsDialog />}
      {dialog.value === 'key' && <KeyDialog />}
    </>
  );
}

function NoticeView(): JSX.Element {
  const shown = notice.value;
  return (
    <div class="notice-place" role="status">
      {shown && (
        <div class="notice">
          <span>{shown.message}</span>
          {shown.action && (
            <button
              type="button"
              class="text-button"
              onClick={() => {
                shown.action?.run();
                dismiss();
              }}
            >
              {shown.action.label}
            </button>
          )}
          <IconButton icon="close" label="Close the notice" onClick={dismiss} />
        </div>
      )}
    </div>
  );
}
