// Goal: counts, strengths and sentences about experts are right, for a small model and a large one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withRouted, type Routing } from '../model/routing';
import {
  cellText,
  heatOf,
  levelOf,
  levelsOf,
  levelsOfToken,
  pathsOf,
  summaryOf,
  tokenText,
} from './experts';

const SMALL = { layers: 2, experts: 4, perToken: 2 };
const LARGE = { layers: 58, experts: 256, perToken: 8 };

function routing(...tokens: number[][][]): Routing {
  const made = withRouted(null, SMALL, tokens, 0);
  assert.ok(made);
  return made;
}

// prettier-ignore
const THREE = routing([[0, 1], [3, 2]], [[1, 0], [3, 0]], [[1, 2], [3, 2]]);

test('counts by layer and expert', () => {
  const heat = heatOf(THREE);
  assert.deepEqual([...heat.counts], [2, 3, 1, 0, 1, 0, 2, 3]);
  assert.equal(heat.even, 1.5);
  assert.deepEqual([...levelsOf(heat)], [3, 3, 2, 0, 2, 0, 3, 3]);
});

test('levels by share', () => {
  assert.deepEqual([0, 0.1, 0.5, 0.9, 1, 2, 3, 4, 4.1].map(levelOf), [0, 1, 1, 2, 2, 3, 4, 4, 5]);
});

test('one sentence about the answer', () => {
  assert.equal(
    summaryOf(heatOf(THREE)),
    '6 of 8 experts used by 3 tokens; the busiest, layer 1 expert 1, had 2 times its even share.',
  );
  const choices = Array.from({ length: 58 }, () => [7, 1, 2, 3, 4, 5, 6, 0]);
  const large = withRouted(null, LARGE, [choices], 0);
  assert.equal(
    summaryOf(heatOf(large!)),
    '464 of 14,848 experts used by one token; the busiest, layer 1 expert 0, had 32 times its even share.',
  );
});

test('one place in words', () => {
  const heat = heatOf(THREE);
  assert.equal(cellText(heat, 1, 3), 'Layer 2, expert 3: chosen 3 times, 2 times its even share');
  assert.equal(cellText(heat, 0, 2), 'Layer 1, expert 2: chosen once, 0.7 times its even share');
  assert.equal(cellText(heat, 0, 3), 'Layer 1, expert 3: never chosen');
});

test('one token in words', () => {
  assert.deepEqual(tokenText(SMALL, [[0, 1], [3, 2]]), ['layer 1: experts 0, 1', 'layer 2: experts 3, 2']); // prettier-ignore
  const many = Array.from({ length: 58 }, (_, i) => [i, 200]);
  assert.deepEqual(tokenText(LARGE, many), [
    '8 of 256 experts in each of 58 layers',
    'layer 58: experts 57, 200',
  ]);
});

test('the first choice is the strongest', () => {
  assert.deepEqual([...levelsOfToken(SMALL, [[2, 0], [1, 3]])], [3, 0, 5, 0, 0, 5, 0, 3]); // prettier-ignore
  const [row] = [levelsOfToken({ ...LARGE, layers: 1 }, [[0, 1, 2, 3, 4, 5, 6, 7]])];
  assert.deepEqual([...row.subarray(0, 9)], [5, 4, 4, 3, 3, 3, 2, 2, 0]);
});

test('shapes: one a place with room between, or runs of a level without', () => {
  const small = pathsOf(SMALL, levelsOf(heatOf(THREE)));
  assert.equal(small[0], 'M30 0h9v9h-9zM10 10h9v9h-9z');
  const wide = { layers: 1, experts: 256, perToken: 8 };
  const levels = new Uint8Array(256);
  levels[255] = 5;
  const large = pathsOf(wide, levels);
  assert.deepEqual([large[0], large[5]], ['M0 0h2550v10h-2550z', 'M2550 0h10v10h-10z']);
});
