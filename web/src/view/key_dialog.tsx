// Asks for the server's API key.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { apiKey, isKeyRemembered, setApiKey } from '../state/preferences';
import { connect, serverFailure } from '../state/server';
import { closeDialog, Dialog } from './dialog';

export function KeyDialog(): JSX.Element {
  const [key, setKey] = useState(apiKey.value);
  const isRefused = apiKey.value !== '' && serverFailure.value?.kind === 'key';
  const [isRemembered, setRemembered] = useState(isKeyRemembered());
  return (
    <Dialog title="API key">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          setApiKey(key.trim(), isRemembered);
          closeDialog();
          void connect();
        }}
      >
        <p>
          {isRefused
            ? 'The server does not accept the key below.'
            : 'This server answers those who know its key. The page sends it to this server only.'}
        </p>
        <label class="field">
          <span>Key</span>
          <input
            type="password"
            autocomplete="current-password"
            value={key}
            autofocus
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={isRemembered}
            onChange={(event) => setRemembered(event.currentTarget.checked)}
          />
          <span>Keep it in this browser after the tab is closed</span>
        </label>
        <div class="buttons">
          <button type="submit" class="button is-main">
            Use this key
          </button>
        </div>
      </form>
    </Dialog>
  );
}
