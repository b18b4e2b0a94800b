// Answers while they are written: start, stop, again, go on.
import { signal } from '@preact/signals';
import { streamChat, type ChatMessage, type ChatRequest, type ChatStep } from '../api/client';
import { asFailure } from '../api/failure';
import { withRouted, type Routing } from '../model/routing';
import { pathTo, withChanged, withMessage, without } from '../model/tree';
import {
  newMessage,
  type Conversation,
  type Failure,
  type Message,
  type Usage,
} from '../model/types';
import { announce } from './notices';
import { apiKey } from './preferences';
import { connect, model, models, serverFailure } from './server';
import { conversation, nameInAddress, saveNow, update } from './store';
import { elsewhere, setWriting } from './tabs';
import { openDialog } from './ui';

const SHOW_EVERY_MS = 40;
const SHOW_EVERY_MS_PER_CHARACTER = 1 / 500; // a long answer takes longer to set
const ANNOUNCED_LENGTH_MAX = 1500;

interface Run {
  messageId: string;
  controller: AbortController;
}

/** Conversation -> its answer that is being written. */
export const runs = signal<ReadonlyMap<string, Run>>(new Map());

export function isRunning(conversationId: string): boolean {
  return runs.value.has(conversationId) || elsewhere.value.has(conversationId);
}

export function stop(conversationId: string): void {
  runs.value.get(conversationId)?.controller.abort();
}

function setRun(conversationId: string, run: Run | null): void {
  setWriting(conversationId, run !== null);
  const next = new Map(runs.value);
  if (run) next.set(conversationId, run);
  else next.delete(conversationId);
  runs.value = next;
}

export function send(conversationId: string, parentId: string | null, text: string): void {
  if (isRunning(conversationId)) return;
  const question = newMessage('user', parentId, text);
  update(conversationId, (one) => withMessage(one, question));
  nameInAddress(conversationId);
  void answer(conversationId, question.id);
}

/** Another answer beside the old one; a failed one without any text is replaced. */
export function regenerate(conversationId: string, old: Message): void {
  if (isRunning(conversationId)) return;
  const isEmpty = old.content === '' && old.reasoning === '';
  if (isEmpty) update(conversationId, (one) => without(one, old.id));
  void answer(conversationId, old.parentId);
}

export function canContinue(message: Message): boolean {
  const ended = message.state !== 'complete' || message.finishReason === 'length';
  return ended && message.content !== '' && message.reasoning === '';
}

/** Answers a message that has no answer, as the last one of an imported conversation may have none. */
export async function answer(conversationId: string, parentId: string | null): Promise<void> {
  const message = newMessage('assistant', parentId);
  message.model = model.value?.id ?? null;
  update(conversationId, (one) => withMessage(one, message));
  await run(conversationId, message);
}

/** Goes on where an answer was broken off. */
export async function continueAnswer(conversationId: string, message: Message): Promise<void> {
  if (isRunning(conversationId)) return;
  const change = { state: 'streaming', failure: null, finishReason: null } as const;
  update(conversationId, (one) => withChanged(one, message.id, change));
  await run(conversationId, { ...message, ...change });
}

function requestFor(one: Conversation, message: Message): ChatRequest {
  const path = pathTo(one, message.id).filter(({ content }) => content !== '');
  const messages: ChatMessage[] = path.map(({ id, role, content }) =>
    id === message.id ? { role, content, prefix: true } : { role, content },
  );
  if (one.system.trim()) messages.unshift({ role: 'system', content: one.system });
  return {
    model: model.value?.id ?? '',
    messages,
    sampling: one.sampling,
    wantsProbabilities: one.wantsProbabilities,
    wantsExperts: one.wantsExperts && model.value?.experts != null,
  };
}

async function run(conversationId: string, start: Message): Promise<void> {
  const controller = new AbortController();
  setRun(conversationId, { messageId: start.id, controller });
  announce('Waiting for the answer.');
  const draft = new Draft(start);
  const show = (change: Partial<Message>): void =>
    update(conversationId, (one) => withChanged(one, start.id, change));
  let shower: ReturnType<typeof setTimeout>;
  const showOnAndOn = (): void => {
    if (draft.isChanged) show(draft.message());
    shower = setTimeout(showOnAndOn, SHOW_EVERY_MS + draft.length * SHOW_EVERY_MS_PER_CHARACTER);
  };
  shower = setTimeout(showOnAndOn, SHOW_EVERY_MS);
  try {
    if (models.value.length === 0) await connect();
    if (serverFailure.value?.kind === 'unreachable') serverFailure.value = null; // the request will tell
    const one = conversation(conversationId);
    if (!one) return;
    draft.begin();
    for await (const step of streamChat(requestFor(one, start), apiKey.value, controller.signal)) {
      draft.take(step);
    }
    show({ ...draft.message(), state: 'complete' });
    announce(`Answer: ${draft.content.slice(0, ANNOUNCED_LENGTH_MAX)}`);
  } catch (error) {
    if (controller.signal.aborted) {
      show({ ...draft.message(), state: 'stopped' });
      announce('Stopped.');
    } else {
      const failure = asFailure(error);
      show({ ...draft.message(), state: 'failed', failure });
      announce(failure.message);
      await lookAgain(failure);
    }
  } finally {
    clearTimeout(shower);
    setRun(conversationId, null);
    saveNow();
  }
}

/** What a failed answer says about the server: it wants a key, is away, or has another model now. */
async function lookAgain(failure: Failure): Promise<void> {
  if (failure.kind === 'key') {
    serverFailure.value = failure;
    openDialog('key');
  } else if (failure.kind === 'unreachable' || failure.kind === 'refused') {
    await connect();
  }
}

/** Collects the steps of one answer; what a continued answer has already is kept. */
class Draft {
  content: string;
  isChanged = false;
  private reasoning: string;
  private tokens: Message['tokens'];
  private routing: Routing | null;
  private pieces: number;
  private finishReason: string | null = null;
  private usage: Usage | null;
  private readonly usageBefore: Usage | null;
  private readonly timingBefore: Message['timing'];
  private startedAt = 0;
  private firstAt: number | null = null;

  constructor(start: Message) {
    this.content = start.content;
    this.reasoning = start.reasoning;
    this.tokens = start.tokens;
    this.routing = start.routing;
    this.pieces = start.pieces;
    this.usage = this.usageBefore = start.usage;
    this.timingBefore = start.timing;
  }

  get length(): number {
    return this.content.length + this.reasoning.length;
  }

  begin(): void {
    this.startedAt = performance.now();
  }

  take(step: ChatStep): void {
    this.isChanged = true;
    this.content += step.content;
    this.reasoning += step.reasoning;
    const shape = model.value?.experts;
    if (shape) this.routing = withRouted(this.routing, shape, step.routed, this.tokens.length);
    if (step.tokens.length > 0) this.tokens = [...this.tokens, ...step.tokens];
    if (step.finishReason !== null) this.finishReason = step.finishReason;
    if (step.usage) this.usage = this.added(step.usage);
    if (!step.content && !step.reasoning) return;
    this.firstAt ??= performance.now();
    this.pieces += 1;
  }

  private added(usage: Usage): Usage {
    const before = this.usageBefore?.completion_tokens ?? 0;
    if (before === 0) return usage;
    const completion_tokens = usage.completion_tokens + before;
    return { ...usage, completion_tokens, prompt_tokens: usage.prompt_tokens - before };
  }

  message(): Partial<Message> {
    this.isChanged = false;
    const now = performance.now();
    const before = this.timingBefore;
    const totalMs = now - this.startedAt + (before?.totalMs ?? 0);
    const firstTokenMs = before?.firstTokenMs ?? (this.firstAt ?? now) - this.startedAt;
    return {
      content: this.content,
      reasoning: this.reasoning,
      tokens: this.tokens,
      routing: this.routing,
      pieces: this.pieces,
      finishReason: this.finishReason,
      usage: this.usage,
      timing: { firstTokenMs, totalMs },
    };
  }
}
