// Goal: tokens, probabilities and counts read well.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newMessage, type ScoredToken } from '../model/types';
import { ageGroup } from './dates';
import { numbersOf } from './numbers';
import { percent, shownTokens, visibleText } from './tokens';

const token = (bytes: number[], logprob = 0): ScoredToken => ({
  text: '\ufffd',
  bytes,
  logprob,
  alternatives: [{ text: '?', logprob: -9 }],
});

test('a character over several tokens stands at the last one', () => {
  const fox = [...new TextEncoder().encode('🦊')];
  const shown = shownTokens([token([65]), token(fox.slice(0, 2)), token(fox.slice(2))]);
  assert.deepEqual(
    shown.map(({ text }) => text),
    ['A', '', '🦊'],
  );
});

test('tokens of the template have names', () => {
  const [end] = shownTokens([{ ...token([]), text: '<｜end▁of▁sentence｜>' }]);
  assert.deepEqual([end?.text, end?.isSpecial], ['end of sentence', true]);
});

test('shades go with probability', () => {
  const shades = [0.01, 0.1, 0.3, 0.7, 0.95].map(
    (p) => shownTokens([token([65], Math.log(p))])[0]?.shade,
  );
  assert.deepEqual(shades, [0, 1, 2, 3, 4]);
  const [unasked] = shownTokens([{ ...token([65], -5), alternatives: [] }]);
  assert.deepEqual([unasked?.isScored, unasked?.shade], [false, 4]);
});

test('percent and blanks', () => {
  assert.equal(percent(1), '100 %');
  assert.equal(percent(0.1234), '12.3 %');
  assert.equal(percent(0), '< 0.1 %');
  assert.equal(visibleText(' a\n'), '␣a↵');
});

test('counts and speed', () => {
  const usage = {
    prompt_tokens: 61,
    completion_tokens: 21,
    cached_tokens: 32,
    reasoning_tokens: 0,
  };
  const message = {
    ...newMessage('assistant', null),
    usage,
    timing: { firstTokenMs: 500, totalMs: 2500 },
  };
  assert.equal(
    numbersOf(message),
    '21 tokens · 10 tokens/s · first after 0.5 s · prompt 61, 32 cached',
  );
  assert.equal(
    numbersOf({ ...message, usage: null, pieces: 11 }),
    '≈ 11 tokens · 5.0 tokens/s · first after 0.5 s',
  );
  assert.equal(numbersOf(newMessage('assistant', null)), '');
});

test('ages by calendar days', () => {
  const noon = new Date(2026, 4, 10, 12).getTime();
  const hour = 3_600_000;
  const groups = [noon - hour, noon - 13 * hour, noon - 60 * hour, noon - 400 * hour];
  assert.deepEqual(
    groups.map((time) => ageGroup(time, noon)),
    ['Today', 'Yesterday', 'Last seven days', 'Older'],
  );
});
