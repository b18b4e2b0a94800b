// Goal: the experts of tokens come back as they were, and nothing that does not fit is kept.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  choicesAt,
  idsOf,
  readRouting,
  ROUTED_TOKENS_MAX,
  tokenCount,
  withRouted,
  type ExpertShape,
} from './routing';

const SMALL = { layers: 3, experts: 32, perToken: 2 };
const LARGE = { layers: 58, experts: 256, perToken: 8 };

function choicesFor({ layers, experts, perToken }: ExpertShape, token: number): number[][] {
  return Array.from({ length: layers }, (_, layer) =>
    Array.from({ length: perToken }, (_, rank) => (token * 31 + layer * 7 + rank * 5) % experts),
  );
}

test('there and back, in steps, for a small model and a large one', () => {
  for (const shape of [SMALL, LARGE]) {
    const first = withRouted(null, shape, [choicesFor(shape, 0)], 0);
    const all = withRouted(first, shape, [choicesFor(shape, 1), choicesFor(shape, 2)], 1);
    assert.ok(all);
    assert.equal(tokenCount(all), 3);
    for (const token of [0, 1, 2])
      assert.deepEqual(choicesAt(all, token), choicesFor(shape, token));
    assert.equal(choicesAt(all, 3), null);
    assert.equal(idsOf(all).length, 3 * shape.layers * shape.perToken);
    assert.deepEqual(readRouting(JSON.parse(JSON.stringify(all)), 'routing'), all);
  }
});

test('a token takes six characters of the small model and 928 of the large one', () => {
  assert.equal(withRouted(null, SMALL, [choicesFor(SMALL, 0)], 0)?.ids.length, 6);
  assert.equal(withRouted(null, LARGE, [choicesFor(LARGE, 0)], 0)?.ids.length, 928);
});

test('what would stand beside another token is not kept', () => {
  const one = withRouted(null, SMALL, [choicesFor(SMALL, 0)], 0);
  assert.equal(withRouted(one, SMALL, [choicesFor(SMALL, 1)], 2), one);
  assert.equal(withRouted(null, SMALL, [choicesFor(SMALL, 0)], 5), null);
  assert.equal(withRouted(one, LARGE, [choicesFor(LARGE, 1)], 1), one); // by another model
  const bad = [
    choicesFor(SMALL, 1),
    [
      [0, 1],
      [2, 3],
      [4, 32],
    ],
    choicesFor(SMALL, 2),
  ];
  assert.equal(tokenCount(withRouted(one, SMALL, bad, 1)!), 2);
});

test('it ends at its limit', () => {
  const many = Array.from({ length: ROUTED_TOKENS_MAX + 5 }, (_, i) => choicesFor(SMALL, i));
  const full = withRouted(null, SMALL, many, 0);
  assert.equal(full && tokenCount(full), ROUTED_TOKENS_MAX);
  assert.equal(withRouted(full, SMALL, many, ROUTED_TOKENS_MAX), full);
});

test('a record that cannot be is refused', () => {
  const good = { ...SMALL, ids: 'ABCDEF' };
  assert.deepEqual(readRouting(good, 'r'), good);
  const table: [object, RegExp][] = [
    [{ ...good, layers: 0 }, /cannot be/u],
    [{ ...good, layers: 1.5 }, /cannot be/u],
    [{ ...good, experts: 1e9 }, /cannot be/u],
    [{ ...good, perToken: 33 }, /cannot be/u],
    [{ ...good, ids: 'ABCDE' }, /whole tokens/u],
    [{ ...good, ids: 'ABCDE<' }, /whole tokens/u],
    [{ ...good, ids: 'ABCDE_' }, /that there is not/u],
    [{ ...good, ids: 'ABCDEF'.repeat(ROUTED_TOKENS_MAX + 1) }, /more than 4096/u],
    [{ ...good, ids: [0] }, /ids is no text/u],
  ];
  for (const [value, reason] of table) assert.throws(() => readRouting(value, 'r'), reason);
});
