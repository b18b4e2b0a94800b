// Goal: which experts wrote an answer is asked for, drawn, told in words, and kept; for a small model
// and one of the size of V3. Method: the program itself once, else streams and models by a script.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import {
  answered,
  assertAccessible,
  button,
  DONE,
  inSettings,
  leave,
  pageTests,
  piece,
  said,
  scripted,
  talk,
  unscripted,
  usage,
  visit,
  wholeAnswer,
} from './support.mjs';

const { inPage, browserOf, url } = pageTests();

const SMALL = { n_layers: 3, n_routed_experts: 32, num_experts_per_tok: 2 };
const LARGE = { n_layers: 58, n_routed_experts: 256, num_experts_per_tok: 8 };
const WORDS = 'Once upon a time there was a fox who lived in a wood and slept all day.'.split(
  /(?= )/u,
);
const SETTING = 'Show which experts wrote each token';

/** Some experts more often than others, each once in a token. */
function expertsOf(shape, token) {
  return Array.from({ length: shape.n_layers }, (_, layer) => {
    const first = (((token * token * 7 + layer * 13) % 97) ** 2 / 40) % shape.n_routed_experts;
    return Array.from(
      { length: shape.num_experts_per_tok },
      (_, rank) => (Math.floor(first) + rank * rank * 5) % shape.n_routed_experts,
    );
  });
}

function routedAnswer(shape, isScored) {
  const pieces = WORDS.map((token, i) => {
    const scored = (text, logprob) => ({ token: text, logprob, bytes: [...Buffer.from(text)] });
    const top_logprobs = isScored ? [scored(token, -0.4), scored(' and', -2)] : [];
    const logprobs = { content: [{ ...scored(token, -0.4), top_logprobs }] };
    return piece({ content: token }, null, logprobs, [expertsOf(shape, i)]);
  });
  return pieces.join('') + piece({}, 'stop') + usage(40, WORDS.length) + DONE;
}

/** A visitor of a model of this shape, who has asked for experts and got an answer. */
async function told(page, shape, isScored = false) {
  const data = [{ id: 'some-model', max_model_len: 4096, routed_experts: shape }];
  await page.route('**/v1/models', (route) => route.fulfill({ json: { data } }));
  await page.reload();
  await page.locator('.model').getByText('some-model').waitFor();
  await inSettings(page, async (dialog) => {
    await dialog.getByLabel(SETTING).check();
    if (isScored) await dialog.getByLabel(/probabilities/).check();
  });
  await scripted(page, routedAnswer(shape, isScored));
  await page.locator('#composer').fill('Tell me a story.');
  await button(page, 'Send').click(); // a phone has no Enter for it
  await answered(page);
}

const fold = (page) => page.locator('.experts > summary');
const summary = (page) => page.locator('.experts-body > p').first().innerText();

inPage('the program itself says its experts', async (page) => {
  await inSettings(page, async (dialog) => {
    await dialog.getByLabel(SETTING).check();
    await dialog.getByLabel('Longest answer').fill('12');
  });
  await talk(page, 'Tell me a story.');
  const { return_routed_experts, logprobs, ...rest } = page.asked[0];
  assert.deepEqual([return_routed_experts, logprobs], [true, true]);
  assert.ok(!('top_logprobs' in rest));
  await fold(page).click();
  assert.match(
    await summary(page),
    /^\d+ of \d+ experts used by \d+ tokens; the busiest, layer \d/,
  );
  await page.locator('.token').first().hover();
  assert.match(await page.getByRole('tooltip').innerText(), /layer 1: experts \d+, \d+/);
});

inPage('experts stand in the card of a token, and are marked below', async (page) => {
  await told(page, SMALL);
  const tokens = page.locator('.token');
  assert.equal(await tokens.count(), WORDS.length);
  await fold(page).click();
  await tokens.nth(1).focus();
  const [one, two, three] = expertsOf(SMALL, 1).map((ids) => ids.join(', '));
  const card = page.getByRole('tooltip');
  assert.equal(
    (await card.locator('p').allInnerTexts()).join('; '),
    `layer 1: experts ${one}; layer 2: experts ${two}; layer 3: experts ${three}`,
  );
  assert.equal(await card.locator('meter').count(), 0);
  assert.equal(await card.locator('.heat-5').getAttribute('d').then(squares), 3);
  const marks = page.locator('.experts .marks');
  assert.equal(await marks.first().getAttribute('d').then(squares), 3);
  assert.equal(await marks.last().getAttribute('d').then(squares), 3);
  await said(page, 'Marked: the experts of this token.').waitFor();
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('.experts .marks').count(), 0);
});

const squares = (path) => path.split('z').length - 1;

inPage('the map is read by keys and by pointer', async (page) => {
  await told(page, SMALL, true);
  await fold(page).focus();
  await page.keyboard.press('Enter');
  await page.locator('.experts-map').waitFor();
  await page.keyboard.press('Tab');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowRight');
  const hint = page.locator('.experts .hint');
  assert.match(await hint.innerText(), /^Layer 2, expert 1: /);
  await page.waitForFunction(() =>
    document.querySelector('[aria-live=polite]').textContent.startsWith('Layer 2, expert 1: '),
  );
  await page.keyboard.press('End');
  assert.match(await hint.innerText(), /^Layer 2, expert 31: /);
  await page.locator('.experts-map svg').hover({ position: { x: 3, y: 60 } });
  assert.match(await hint.innerText(), /^Layer 3, expert 0: /);
  await page.locator('.token').nth(1).hover();
  assert.equal(await page.getByRole('tooltip').locator('meter').count(), 2);
});

inPage('experts stay, and go with an export', async (page) => {
  await told(page, SMALL);
  await page.reload();
  await fold(page).click();
  const before = await summary(page);
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    button(page, 'Export all').click(),
  ]);
  const path = await download.path();
  const file = JSON.parse(await readFile(path, 'utf8'));
  assert.equal(file.conversations[0].messages[1].routing.ids.length, WORDS.length * 6);
  const other = await visit(browserOf(), url());
  const input = other.locator('input[type=file]');
  await input.setInputFiles(path);
  await button(other, 'Tell me a story.').click();
  await fold(other).click();
  assert.equal(await summary(other), before);
  file.conversations[0].messages[1].routing.ids = '<b>';
  const buffer = Buffer.from(JSON.stringify(file));
  await input.setInputFiles({ name: 'x.json', mimeType: 'application/json', buffer });
  await other.getByText(/ids are no experts of whole tokens/).waitFor();
  await leave(other);
});

inPage('a model without experts is not asked for them', async (page) => {
  await told(page, SMALL);
  const data = [{ id: 'dense-model' }];
  await page.unroute('**/v1/models');
  await page.route('**/v1/models', (route) => route.fulfill({ json: { data } }));
  await page.reload();
  await page.locator('.model').getByText('dense-model').waitFor();
  await inSettings(page, async (dialog) =>
    assert.equal(await dialog.getByLabel(SETTING).count(), 0),
  );
  await unscripted(page);
  await scripted(page, wholeAnswer('Ho'));
  await talk(page, 'Hi', 2);
  assert.ok(!('return_routed_experts' in page.asked[1]) && !('logprobs' in page.asked[1]));
});

async function assertInWindow(page, what) {
  const { width } = page.viewportSize();
  const box = await what.boundingBox();
  assert.ok(box.width > 0 && box.x >= 0 && box.x + box.width <= width);
}

const PHONE = { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true };

for (const [name, shape, options] of [
  ['light', SMALL, { colorScheme: 'light' }],
  ['dark', LARGE, { colorScheme: 'dark' }],
  ['phone', LARGE, { ...PHONE, colorScheme: 'light' }],
  ['phone-dark', SMALL, { ...PHONE, colorScheme: 'dark' }],
])
  test(`axe finds nothing and all fits: ${name}`, async () => {
    const page = await visit(browserOf(), url(), options);
    await told(page, shape, name === 'dark');
    const picture = (end) =>
      process.env.PAGE_PICTURES &&
      page.screenshot({ path: `${process.env.PAGE_PICTURES}/experts-${name}${end}.png` });
    const card = page.getByRole('tooltip');
    await page.locator('.token').nth(5).hover();
    await assertInWindow(page, card.locator('svg'));
    await assertAccessible(page, `${name}, folded`);
    await picture('-folded');
    await fold(page).click();
    await page.locator('.experts-map').waitFor();
    await page.locator('.token').nth(3).hover();
    const lines = await card.locator('p').allInnerTexts();
    if (shape === LARGE) assert.equal(lines[0], '8 of 256 experts in each of 58 layers');
    await assertInWindow(page, card);
    assert.ok(
      await page.locator('.scroller').evaluate((node) => node.scrollWidth <= node.clientWidth),
    );
    await assertAccessible(page, name);
    await picture('');
    await leave(page);
  });
