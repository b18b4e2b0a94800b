// Counts and speeds of an answer in words.
import type { Message } from '../model/types';

// A shorter answer came in one piece: its time is mostly that of the prompt and the way.
const WRITING_MS_MIN = 50;

export function tokensPerSecond(message: Message): number | null {
  const { usage, timing, pieces } = message;
  const tokens = usage?.completion_tokens ?? pieces;
  if (!timing || tokens < 2) return null;
  const writingMs = timing.totalMs - timing.firstTokenMs;
  if (writingMs >= WRITING_MS_MIN) return ((tokens - 1) / writingMs) * 1000;
  return timing.totalMs > 0 ? (tokens / timing.totalMs) * 1000 : null;
}

export function speed(perSecond: number): string {
  return perSecond >= 100 ? count(Math.round(perSecond)) : perSecond.toPrecision(2);
}

/** With commas: 163,840. */
export const count = (n: number): string => n.toLocaleString('en');

/** "24 tokens · 163 tokens/s · first after 0.1 s · prompt 61, 32 cached". */
export function numbersOf(message: Message): string {
  const { usage, timing, pieces } = message;
  const tokens = usage?.completion_tokens ?? pieces;
  if (tokens === 0) return '';
  const about = usage ? '' : '≈ ';
  const parts = [`${about}${count(tokens)} ${tokens === 1 ? 'token' : 'tokens'}`];
  const perSecond = tokensPerSecond(message);
  if (perSecond !== null) parts.push(`${speed(perSecond)} tokens/s`);
  if (timing) parts.push(`first after ${(timing.firstTokenMs / 1000).toFixed(1)} s`);
  if (usage) {
    const cached = usage.cached_tokens > 0 ? `, ${count(usage.cached_tokens)} cached` : '';
    parts.push(`prompt ${count(usage.prompt_tokens)}${cached}`);
  }
  return parts.join(' · ');
}
