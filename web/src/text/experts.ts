// Which experts wrote tokens, as numbers, sentences and shapes to draw.
import {
  idsOf,
  ROUTED_TOKENS_MAX,
  tokenCount,
  type ExpertShape,
  type Routing,
} from '../model/routing';
import { count } from './numbers';

/** How often each expert was chosen in a whole answer. */
export interface Heat extends ExpertShape {
  tokens: number;
  /** Layer by layer. */
  counts: Uint32Array;
  /** What each would have if all were chosen alike. */
  even: number;
}

export function heatOf(routing: Routing): Heat {
  const { layers, experts, perToken } = routing;
  const counts = new Uint32Array(layers * experts);
  idsOf(routing).forEach((id, i) => {
    const cell = (Math.floor(i / perToken) % layers) * experts + id;
    counts[cell] = (counts[cell] ?? 0) + 1;
  });
  const tokens = tokenCount(routing);
  return { layers, experts, perToken, tokens, counts, even: (tokens * perToken) / experts };
}

/** The strengths of the legend; each holds up to its limit, the last all above. */
const LIMITS = [0, 0.5, 1, 2, 4];
export const LEVEL_NAMES = ['never', 'up to ½', 'up to 1', 'up to 2', 'up to 4', 'more'];
const LEVEL_MAX = LIMITS.length;

export function levelOf(share: number): number {
  const level = LIMITS.findIndex((limit) => share <= limit);
  return level < 0 ? LEVEL_MAX : level;
}

export function levelsOf({ counts, even }: Heat): Uint8Array {
  return Uint8Array.from(counts, (n) => levelOf(n / even));
}

/** The chosen ones of one token: the first choice of each layer is the strongest. */
export function levelsOfToken(shape: ExpertShape, choices: number[][]): Uint8Array {
  const levels = new Uint8Array(shape.layers * shape.experts);
  choices.forEach((ids, layer) =>
    ids.forEach((id, rank) => {
      levels[layer * shape.experts + id] = LEVEL_MAX - Math.ceil((rank * 3) / shape.perToken);
    }),
  );
  return levels;
}

const times = (share: number): string =>
  share >= 10 ? count(Math.round(share)) : share.toFixed(1).replace('.0', '');

/** One sentence about a whole answer. */
export function summaryOf({ counts, experts, tokens, even }: Heat): string {
  const used = counts.filter((n) => n > 0).length;
  const most = counts.reduce((a, b) => Math.max(a, b), 0);
  const busiest = counts.indexOf(most);
  const of = tokens === 1 ? 'one token' : `${count(tokens)} tokens`;
  const by = tokens === ROUTED_TOKENS_MAX ? `the first ${of}` : of;
  return (
    `${count(used)} of ${count(counts.length)} experts used by ${by}; ` +
    `the busiest, layer ${Math.floor(busiest / experts) + 1} expert ${busiest % experts}, ` +
    `had ${times(most / even)} times its even share.`
  );
}

/** About one place of the picture. */
export function cellText({ counts, experts, even }: Heat, layer: number, expert: number): string {
  const n = counts[layer * experts + expert] ?? 0;
  const name = `Layer ${layer + 1}, expert ${expert}`;
  if (n === 0) return `${name}: never chosen`;
  const often = n === 1 ? 'once' : `${count(n)} times`;
  return `${name}: chosen ${often}, ${times(n / even)} times its even share`;
}

const LISTED_LAYERS_MAX = 4;

/** "layer 1: experts 5, 17"; of many layers the last one stands for all. */
export function tokenText(shape: ExpertShape, choices: number[][]): string[] {
  const line = (ids: number[], layer: number): string =>
    `layer ${layer + 1}: ${ids.length === 1 ? 'expert' : 'experts'} ${ids.join(', ')}`;
  if (choices.length <= LISTED_LAYERS_MAX) return choices.map(line);
  const last = choices.length - 1;
  return [
    `${shape.perToken} of ${shape.experts} experts in each of ${shape.layers} layers`,
    line(choices[last] ?? [], last),
  ];
}

export const CELL = 10;
const SPACED_EXPERTS_MAX = 64;

/** Beyond that, lines between the experts would be wider than they are. */
export const isSpaced = ({ experts }: ExpertShape): boolean => experts <= SPACED_EXPERTS_MAX;

/** The outlines of all places of one level, CELL units each; a path for each level. */
export function pathsOf(shape: ExpertShape, levels: Uint8Array): string[] {
  const { layers, experts } = shape;
  const paths: string[][] = Array.from({ length: LEVEL_MAX + 1 }, () => []);
  const size = isSpaced(shape) ? CELL - 1 : CELL;
  for (let layer = 0; layer < layers; layer++)
    for (let from = 0, to = 0; from < experts; from = to) {
      const level = levels[layer * experts + from] ?? 0;
      to = from + 1;
      if (!isSpaced(shape)) while (to < experts && levels[layer * experts + to] === level) to++;
      const width = (to - from - 1) * CELL + size;
      paths[level]?.push(`M${from * CELL} ${layer * CELL}h${width}v${size}h-${width}z`);
    }
  return paths.map((path) => path.join(''));
}
