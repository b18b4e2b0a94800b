// Scored tokens as a reader sees them: text, probability, shade.
import type { ScoredToken } from '../model/types';

export interface ShownToken {
  text: string;
  probability: number;
  isScored: boolean;
  /** 0 for the least probable to 4 for nearly certain, and for those that are not scored. */
  shade: number;
  /** Of the template, like the end of the answer: no text of it. */
  isSpecial: boolean;
}

const SHADE_LIMITS = [0.05, 0.2, 0.5, 0.85];

/** Probabilities that nobody asked for are not shown. */
export const isScored = (token: ScoredToken): boolean => token.alternatives.length > 0;

export const probabilityOf = (logprob: number): number => Math.min(1, Math.exp(logprob));

export function percent(probability: number): string {
  if (probability >= 0.9995) return '100 %';
  if (probability < 0.0005) return '< 0.1 %';
  return `${(probability * 100).toFixed(1)} %`;
}

/** Blanks and line ends made visible. */
export function visibleText(text: string): string {
  return text.replaceAll(' ', '␣').replaceAll('\n', '↵').replaceAll('\t', '⇥') || '∅';
}

const SPECIAL = /^<[|｜](.+)[|｜]>$/u;

/** "<｜end▁of▁sentence｜>" -> "end of sentence". */
function specialName(text: string): string {
  return (SPECIAL.exec(text)?.[1] ?? text).replace(/[▁_]/gu, ' ');
}

/** A character that several tokens share stands at the token that completes it. */
export function shownTokens(tokens: ScoredToken[]): ShownToken[] {
  const decoder = new TextDecoder();
  return tokens.map((token) => {
    const { text, bytes, logprob } = token;
    const probability = probabilityOf(logprob);
    const isSpecial = SPECIAL.test(text);
    const whole = bytes.length > 0 ? decoder.decode(new Uint8Array(bytes), { stream: true }) : text;
    return {
      text: isSpecial ? specialName(text) : whole,
      probability,
      isSpecial,
      isScored: isScored(token),
      shade: SHADE_LIMITS.filter((limit) => !isScored(token) || probability >= limit).length,
    };
  });
}
