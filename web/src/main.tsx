// Opens the store, draws the page, and asks the server who it is.
import { render } from 'preact';
import { applyTheme } from './state/preferences';
import { connect } from './state/server';
import { openStore } from './state/store';
import { focusComposer } from './state/ui';
import { App } from './view/app';
import { installShortcuts } from './view/shortcuts';

async function start(): Promise<void> {
  applyTheme();
  await openStore();
  render(<App />, document.body);
  installShortcuts();
  focusComposer();
  await connect();
}

void start();
