// Goal: what a reader does with the chat page works, in a real browser against the real server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  answered,
  answers,
  button,
  DONE,
  hanging,
  inSettings,
  leave,
  pageTests,
  piece,
  said,
  scripted,
  startServer,
  talk,
  type,
  unscripted,
  usage,
  visit,
  wholeAnswer,
} from './support.mjs';

const { inPage, browserOf } = pageTests();
const clipboard = (page) => page.evaluate(() => navigator.clipboard.readText());

inPage('an empty page says who answers and gives examples', async (page) => {
  await page.getByText('fathom-default · context 1,024').waitFor();
  await page.getByRole('list', { name: 'Examples' }).getByRole('button').first().click();
  await answered(page);
  assert.match(await answers(page).locator('.answer').innerText(), /\w/);
});

inPage('a typed message is answered, with counts and speed', async (page) => {
  await inSettings(page, (dialog) => dialog.getByLabel('Longest answer').fill('24'));
  await talk(page, 'Tell me a story about a fox.');
  assert.match(
    await answers(page).locator('.numbers').innerText(),
    /^\d+ tokens · [\d.]+ tokens\/s · first after/,
  );
  assert.match(await page.locator('.context').innerText(), /^\d+ of 1,024 tokens of context/);
  const [body] = page.asked;
  assert.deepEqual(body.messages, [{ role: 'user', content: 'Tell me a story about a fox.' }]);
  assert.equal(body.stream, true);
  assert.deepEqual(body.stream_options, { include_usage: true });
  await talk(page, 'And then?', 2);
  assert.equal(page.asked[1].messages.length, 3);
});

inPage('an answer grows while it comes, and is stopped', async (page) => {
  await hanging(page, piece({ content: 'Once upon' }));
  await type(page, 'Go');
  await said(page, 'Once upon').waitFor();
  assert.equal(await page.locator('.answer').getAttribute('aria-busy'), 'true');
  await button(page, 'Stop the answer').click();
  await said(page, 'You stopped this answer.').waitFor();
  assert.match(await answers(page).innerText(), /Once upon/);
  await type(page, 'Again');
  await page.locator('.is-writing').waitFor();
  await page.keyboard.press('Escape');
  await answered(page, 2);
});

inPage('a stopped answer goes on where it ended', async (page) => {
  await scripted(page, piece({ content: 'Once upon a' }));
  await type(page, 'Go');
  await said(
    page,
    'The connection broke before the answer was complete. What had come is kept.',
  ).waitFor();
  await unscripted(page);
  await scripted(page, wholeAnswer(' time.'));
  await button(page, 'Continue').click();
  await said(page, 'Once upon a time.').waitFor();
  assert.deepEqual(page.asked[1].messages.at(-1), {
    role: 'assistant',
    content: 'Once upon a',
    prefix: true,
  });
});

inPage('a regenerated answer is another version', async (page) => {
  await scripted(page, wholeAnswer('Number one'));
  await talk(page, 'Go');
  await unscripted(page);
  await scripted(page, wholeAnswer('Second'));
  await button(page, 'Regenerate answer').click();
  await said(page, 'Second').waitFor();
  assert.match(await answers(page).innerText(), /2\/2/);
  await button(page, 'Previous version of this answer').click();
  await said(page, 'Number one').waitFor();
  assert.equal(
    await page.evaluate(() => document.activeElement.ariaLabel),
    'Next version of this answer',
  );
});

inPage('an edited message makes a branch, and both stay', async (page) => {
  await scripted(page, wholeAnswer('About foxes'));
  await talk(page, 'Foxes');
  await unscripted(page);
  await scripted(page, wholeAnswer('About birds'));
  await button(page, 'Edit message').click();
  await page.getByRole('textbox', { name: 'Edit message' }).fill('Birds');
  await page.keyboard.press('Control+Enter');
  await said(page, 'About birds').waitFor();
  assert.deepEqual(page.asked[1].messages, [{ role: 'user', content: 'Birds' }]);
  await button(page, 'Previous version of this message').click();
  await said(page, 'About foxes').waitFor();
  await page.reload();
  await said(page, 'About foxes').waitFor();
  assert.match(await page.locator('.of-user').innerText(), /1\/2/);
});

inPage('messages and code are copied', async (page) => {
  await scripted(page, wholeAnswer('Look:\n\n```js\nlet x = 1;\n```'));
  await talk(page, 'Code');
  await button(page, 'Copy code').click();
  await page.getByText('Copied', { exact: true }).waitFor();
  assert.equal(await clipboard(page), 'let x = 1;\n');
  await button(page, 'Copy answer').click();
  assert.equal(await clipboard(page), 'Look:\n\n```js\nlet x = 1;\n```');
  await button(page, 'Copy message').click();
  assert.equal(await clipboard(page), 'Code');
});

inPage('settings reach the request, empty ones do not', async (page) => {
  await inSettings(page, async (dialog) => {
    await dialog.getByLabel('System prompt').fill('You tell stories.');
    await dialog.getByLabel('Temperature').fill('0.5');
    await dialog.getByLabel('Seed').fill('7');
    await dialog.getByLabel('Longest answer').fill('12');
    await dialog.getByLabel('Top p').fill('3'); // out of range: not taken
  });
  await talk(page, 'Go');
  const { messages, temperature, seed, max_tokens, ...rest } = page.asked[0];
  assert.deepEqual([temperature, seed, max_tokens], [0.5, 7, 12]);
  assert.deepEqual(messages[0], {
    role: 'system',
    content: 'You tell stories.',
  });
  assert.ok(!('top_p' in rest) && !('logprobs' in rest));
  await button(page, 'New conversation').click();
  await scripted(page, wholeAnswer('x'));
  await talk(page, 'Go');
  assert.ok(!('seed' in page.asked[1]));
});

inPage('probabilities are shown on hover and by keys', async (page) => {
  await inSettings(page, async (dialog) => {
    await dialog.getByLabel(/probabilities/).check();
    await dialog.getByLabel('Longest answer').fill('20');
  });
  await talk(page, 'Tell me a story.');
  assert.deepEqual([page.asked[0].logprobs, page.asked[0].top_logprobs], [true, 5]);
  const tokens = page.locator('.token');
  await tokens.nth(1).hover();
  assert.ok((await page.getByRole('tooltip').locator('.token-row').count()) >= 5);
  await page.mouse.move(0, 0);
  await tokens.first().focus();
  await page.keyboard.press('ArrowRight');
  assert.equal(await tokens.nth(1).evaluate((node) => node === document.activeElement), true);
  assert.match(await page.getByRole('tooltip').innerText(), /%/);
  await page.keyboard.press('Escape');
  assert.equal(await page.getByRole('tooltip').count(), 0);
  await button(page, 'Show probabilities of tokens').click();
  assert.equal(await tokens.count(), 0);
});

inPage('reasoning is folded', async (page) => {
  await scripted(page, piece({ reasoning_content: 'Let me think' }) + wholeAnswer('42'));
  await talk(page, 'Think');
  assert.equal(await said(page, 'Let me think').isVisible(), false);
  await page.getByText('Reasoning').click();
  await said(page, 'Let me think').waitFor();
});

inPage('a conversation that is too long says so and begins anew', async (page) => {
  await type(page, 'Hi there '.repeat(900));
  await said(
    page,
    /The conversation has become too long: it has [\d,]+ tokens, the model keeps 1,024/,
  ).waitFor();
  await button(page, 'Start a new conversation').click();
  await page.locator('.empty').waitFor();
  assert.match(await page.locator('#composer').inputValue(), /^Hi there/);
});

inPage('failures are one sentence with a second try', async (page) => {
  await scripted(page, JSON.stringify({ error: { message: 'engine failed' } }), 500);
  await type(page, 'Go');
  await said(page, 'The server failed: Engine failed.').waitFor();
  await unscripted(page);
  const broken =
    piece({ content: 'Half' }) +
    `data: ${JSON.stringify({ error: { message: 'out of memory' } })}\n\n`;
  await scripted(page, broken);
  await button(page, 'Try again').click();
  await said(
    page,
    'The server broke the answer off: Out of memory. What had come is kept.',
  ).waitFor();
  assert.equal(await answers(page).count(), 1);
  await unscripted(page);
  await page.route('**/v1/chat/completions', (route) => route.abort());
  await button(page, 'Try again').click();
  await said(page, 'The server does not answer. Is it still running?').waitFor();
});

inPage('a server that is away is named, and found again', async (page) => {
  await page.route('**/v1/models', (route) => route.abort());
  await page.reload();
  await page.locator('.banner').getByText('The server does not answer.').waitFor();
  await page.unroute('**/v1/models');
  await button(page, 'Try again').click();
  await page.getByText('fathom-default · context 1,024').waitFor();
  assert.equal(await page.locator('.banner').count(), 0);
});

inPage('the end of an answer is told once to screen readers', async (page) => {
  await page.evaluate(() => {
    window.told = [];
    const region = document.querySelector('[aria-live=polite]');
    new MutationObserver(() => window.told.push(region.textContent)).observe(region, {
      childList: true,
      characterData: true,
      subtree: true,
    });
  });
  const words = Array.from({ length: 50 }, (_, i) => piece({ content: `word${i} ` })).join('');
  await scripted(page, words + piece({}, 'stop') + usage(5, 50) + DONE);
  await talk(page, 'Go');
  const told = await page.evaluate(() => window.told);
  assert.equal(told.length, 2, told.join(' / '));
  assert.match(told[1], /^Answer: word0/);
});

test('a server with a key asks for it', async () => {
  const locked = await startServer('--api-key', 'sesame');
  const page = await visit(browserOf(), locked.url);
  await page.getByRole('dialog').getByLabel('Key').fill('pepper');
  await page.keyboard.press('Enter');
  await page.getByText('The server does not accept the key below.').waitFor();
  await page.getByRole('dialog').getByLabel('Key').fill('sesame');
  await page.keyboard.press('Enter');
  await page.getByText('fathom-default · context 1,024').waitFor();
  await inSettings(page, (dialog) => dialog.getByLabel('Longest answer').fill('8'));
  await talk(page, 'Hi');
  assert.equal(await page.locator('.failure').count(), 0);
  await page.reload();
  await page.getByText('fathom-default · context 1,024').waitFor();
  await leave(page);
  locked.stop();
});
