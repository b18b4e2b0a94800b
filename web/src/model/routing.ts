// Which experts wrote the tokens of an answer, kept as text: one or two digits of base 64 for each
// choice. It grows at its end and stands in a file of JSON as it is; lists of numbers would take
// many times the room.
import { number, readFields, text, type Reader } from './reader';

export interface ExpertShape {
  /** Those with experts only. */
  layers: number;
  /** Of one layer. */
  experts: number;
  perToken: number;
}

export interface Routing extends ExpertShape {
  /** Token by token, layer by layer, by falling affinity. */
  ids: string;
}

export const ROUTED_TOKENS_MAX = 4096;
const LAYERS_MAX = 256;
const EXPERTS_MAX = 1024;

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const VALUES = new Uint8Array(128);
for (let i = 0; i < DIGITS.length; i++) VALUES[DIGITS.charCodeAt(i)] = i;

const widthOf = ({ experts }: ExpertShape): number => (experts > DIGITS.length ? 2 : 1);
const choicesPerToken = ({ layers, perToken }: ExpertShape): number => layers * perToken;

const isCount = (value: number, max: number): boolean =>
  Number.isInteger(value) && value >= 1 && value <= max;

/** Whether a picture of it can be drawn. */
export function isShape({ layers, experts, perToken }: ExpertShape): boolean {
  return isCount(layers, LAYERS_MAX) && isCount(experts, EXPERTS_MAX) && isCount(perToken, experts);
}

export function tokenCount(routing: Routing): number {
  return routing.ids.length / (choicesPerToken(routing) * widthOf(routing));
}

function encoded(id: number, width: number): string {
  const low = DIGITS.charAt(id % DIGITS.length);
  return width === 1 ? low : DIGITS.charAt(Math.floor(id / DIGITS.length)) + low;
}

/** All choices, or those of the tokens from `from` up to `to`. */
export function idsOf(routing: Routing, from = 0, to = tokenCount(routing)): Uint16Array {
  const width = widthOf(routing);
  const perToken = choicesPerToken(routing);
  const value = (at: number): number => VALUES[routing.ids.charCodeAt(at)] ?? 0;
  return Uint16Array.from({ length: (to - from) * perToken }, (_, i) => {
    const at = (from * perToken + i) * width;
    return width === 1 ? value(at) : value(at) * DIGITS.length + value(at + 1);
  });
}

/** The choices of one token, a list for each layer; null for a token that is not kept. */
export function choicesAt(routing: Routing, token: number): number[][] | null {
  if (token >= tokenCount(routing)) return null;
  const ids = [...idsOf(routing, token, token + 1)];
  const { layers, perToken } = routing;
  return Array.from({ length: layers }, (_, i) => ids.slice(i * perToken, (i + 1) * perToken));
}

function isSameShape(a: ExpertShape, b: ExpertShape): boolean {
  return a.layers === b.layers && a.experts === b.experts && a.perToken === b.perToken;
}

function fits(shape: ExpertShape, choices: number[][]): boolean {
  const isId = (id: number): boolean => Number.isInteger(id) && id >= 0 && id < shape.experts;
  return (
    choices.length === shape.layers &&
    choices.every((ids) => ids.length === shape.perToken && ids.every(isId))
  );
}

/**
 * With the next tokens of a stream. Nothing is added where it would no longer stand beside its
 * token, `scored` being the number of tokens before them whose text is kept.
 */
export function withRouted(
  before: Routing | null,
  shape: ExpertShape,
  next: number[][][],
  scored: number,
): Routing | null {
  const routing = { ...shape, ids: before?.ids ?? '' };
  const isOfAnother = before !== null && !isSameShape(before, shape);
  const count = tokenCount(routing);
  if (next.length === 0 || isOfAnother || (scored > 0 && scored !== count)) return before;
  const unfit = next.findIndex((choices) => !fits(routing, choices));
  const taken = next
    .slice(0, unfit < 0 ? next.length : unfit)
    .slice(0, Math.max(0, ROUTED_TOKENS_MAX - count));
  if (taken.length === 0) return before;
  const width = widthOf(routing);
  const added = taken.flat(2).map((id) => encoded(id, width));
  return { ...routing, ids: routing.ids + added.join('') };
}

const readShaped = readFields<Routing>({
  layers: number,
  experts: number,
  perToken: number,
  ids: text,
});

export const readRouting: Reader<Routing> = (value, where) => {
  const routing = readShaped(value, where);
  if (!isShape(routing)) throw new Error(`${where} has numbers of experts that cannot be`);
  const count = tokenCount(routing);
  if (!Number.isInteger(count) || !/^[\w-]*$/u.test(routing.ids))
    throw new Error(`${where}.ids are no experts of whole tokens`);
  if (count > ROUTED_TOKENS_MAX)
    throw new Error(`${where} has more than ${ROUTED_TOKENS_MAX} tokens`);
  if (idsOf(routing).some((id) => id >= routing.experts))
    throw new Error(`${where}.ids name an expert that there is not`);
  return routing;
};
