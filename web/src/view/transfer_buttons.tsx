// Conversations out to a file and in from one.
import type { JSX } from 'preact';
import { useRef } from 'preact/hooks';
import { exportText, FILE_BYTES_MAX, readExport } from '../model/transfer';
import type { Conversation } from '../model/types';
import { notify } from '../state/notices';
import { addImported } from '../state/store';
import { Icon } from './icons';

export function download(name: string, type: string, content: string): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}

export function exportConversations(conversations: Conversation[], name: string): void {
  const day = new Date().toISOString().slice(0, 10);
  download(`${name}-${day}.json`, 'application/json', exportText(conversations));
}

async function importFile(file: File): Promise<void> {
  try {
    if (file.size > FILE_BYTES_MAX) throw new Error('The file is larger than 256 MB.');
    const count = addImported(readExport(await file.text()));
    notify(count === 1 ? 'One conversation is new.' : `${count} conversations are new.`);
  } catch (error) {
    notify((error as Error).message);
  }
}

export function ImportButton(): JSX.Element {
  const field = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" class="text-button" onClick={() => field.current?.click()}>
        <Icon name="upload" />
        Import
      </button>
      <input
        ref={field}
        type="file"
        accept="application/json,.json"
        hidden
        aria-label="File to import"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          if (file) void importFile(file);
          event.currentTarget.value = '';
        }}
      />
    </>
  );
}
