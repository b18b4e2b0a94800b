// The server as this page sees it: reachable or not, its models, and whether it wants a key.
import { computed, signal } from '@preact/signals';
import { listModels, type Model } from '../api/client';
import { asFailure } from '../api/failure';
import type { Failure } from '../model/types';
import { announce } from './notices';
import { apiKey } from './preferences';
import { openDialog } from './ui';

export const models = signal<Model[]>([]);
export const serverFailure = signal<Failure | null>(null);
export const isConnecting = signal(true);

const wantedModel = signal('');

export const model = computed<Model | null>(
  () => models.value.find((one) => one.id === wantedModel.value) ?? models.value[0] ?? null,
);

export function chooseModel(id: string): void {
  wantedModel.value = id;
}

export async function connect(): Promise<void> {
  isConnecting.value = true;
  try {
    models.value = await listModels(apiKey.value);
    serverFailure.value =
      models.value.length > 0 ? null : { kind: 'server', message: 'The server has no model.' };
  } catch (error) {
    serverFailure.value = asFailure(error);
    announce(serverFailure.value.message);
    if (serverFailure.value.kind === 'key') openDialog('key');
  } finally {
    isConnecting.value = false;
  }
}
