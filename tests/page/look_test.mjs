// Goal: the page is safe with any model output, usable by all, and fits its window. Method: hostile
// answers under the page's own policy, axe-core in every state and both themes, and a phone's
// width.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  answers,
  assertAccessible,
  hanging,
  leave,
  piece,
  scripted,
  pageTests,
  talk,
  type,
  visit,
  wholeAnswer,
} from './support.mjs';

const { browserOf, url } = pageTests();

const HOSTILE = `
<script>window.hit = 1</script> <img src=x onerror="window.hit = 1">
<svg onload="window.hit = 1"></svg> <iframe srcdoc="<script>parent.hit = 1</script>"></iframe>
<style>* { display: none }</style> <a href="javascript:window.hit = 1">x</a>

[click me](javascript:window.hit=1) ![x](https://evil.example/track.png) [data](data:text/html,x)

\`\`\`html" onclick="window.hit=1"
<script>window.hit = 1</script>
\`\`\`

$\\href{javascript:window.hit=1}{x}$ $$\\text{<img src=x onerror=window.hit=1>}$$
`;

const RICH = `# Title

Text with \`code\`, a [link](https://example.org), $x^2$ and **bold**.

\`\`\`python
def f(): return "a string"  # 42 and a comment that goes on and on, far beyond the width of any phone that there is today
\`\`\`

| a | b | a long column head | another long column head | and one more of them |
|---|--:|---|---|---|
| 1 | 2 | 3 | 4 | 5 |

$$\\begin{pmatrix} a & b \\\\ c & d \\end{pmatrix} = \\sum_{i=0}^{n} x_i + x_1 + x_2 + x_3 + x_4 + x_5 + x_6 + x_7 + x_8 + x_9$$

> quoted

${'Averyverylongword'.repeat(12)}
`;

test('hostile answers neither run nor load anything', async () => {
  const page = await visit(browserOf(), url());
  const outside = [];
  page.on('request', (request) => {
    if (!request.url().startsWith(url()) && !request.url().startsWith('data:'))
      outside.push(request.url());
  });
  await scripted(page, piece({ reasoning_content: HOSTILE }) + wholeAnswer(HOSTILE));
  await talk(page, HOSTILE);
  await page.getByText('Reasoning').click();
  await page.locator('.reasoning .block').first().waitFor();
  for (const link of await answers(page).locator('a').all())
    assert.match(await link.getAttribute('href'), /^https:/);
  assert.equal(await page.evaluate(() => window.hit), undefined);
  assert.equal(
    await page.locator('article :is(img, script, iframe, style, svg:not(.icon))').count(),
    0,
  );
  assert.deepEqual(outside, []);
  await leave(page);
});

test('the policy itself stops what would come past the sanitizer', async () => {
  const page = await visit(browserOf(), url());
  const refused = await page.evaluate(() => {
    try {
      document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.hit = 1">');
      return false;
    } catch {
      return true;
    }
  });
  assert.ok(refused);
  page.faults = page.faults.filter((fault) => !/trusted/iu.test(fault));
  await leave(page);
});

test('formulas have their layout', async () => {
  const page = await visit(browserOf(), url());
  await scripted(page, wholeAnswer(RICH));
  await talk(page, 'Go');
  const padding = await page
    .locator('mtd')
    .first()
    .evaluate((node) => getComputedStyle(node).paddingRight);
  assert.notEqual(padding, '0px');
  assert.equal(await page.locator('math[display=block]').count(), 1);
  await leave(page);
});

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds nothing: ${colorScheme}`, async () => {
    const page = await visit(browserOf(), url(), { colorScheme });
    assert.equal(await page.locator('html').getAttribute('data-theme'), colorScheme);
    await page.getByText('context 1,024').first().waitFor();
    await assertAccessible(page, 'empty');
    await page.getByRole('button', { name: 'Settings' }).click();
    await page.getByLabel(/probabilities/).check();
    await assertAccessible(page, 'settings');
    await page.getByLabel('Longest answer').fill('20');
    await page.keyboard.press('Escape');
    await talk(page, 'Tell me a story.');
    await page.locator('.token').nth(2).hover();
    await assertAccessible(page, 'probabilities');
    await scripted(page, piece({ reasoning_content: 'Hm' }) + wholeAnswer(RICH));
    await talk(page, 'Go', 2);
    await page.getByText('Reasoning').click();
    await page.locator('.reasoning .block').first().waitFor();
    await assertAccessible(page, 'conversation');
    await page.unroute('**/v1/chat/completions');
    await scripted(page, '', 500);
    await type(page, 'Go');
    await page.locator('.failure').waitFor();
    await assertAccessible(page, 'failure');
    await page.getByRole('button', { name: 'Edit message' }).first().click();
    await assertAccessible(page, 'editing');
    await page.keyboard.press('Control+/');
    await assertAccessible(page, 'shortcuts');
    await leave(page);
  });
}

test('a phone shows all without scrolling sideways', async () => {
  const page = await visit(browserOf(), url(), {
    viewport: { width: 390, height: 780 },
    hasTouch: true,
    isMobile: true,
  });
  const fits = () =>
    page.evaluate(
      () =>
        document.documentElement.scrollWidth <= 390 &&
        document.querySelector('.scroller').scrollWidth <= 390,
    );
  assert.ok(await fits());
  await scripted(page, wholeAnswer(RICH));
  await page.locator('#composer').fill(`${'Averyverylongword'.repeat(12)}`);
  await page.getByRole('button', { name: 'Send' }).click();
  await page.getByRole('main').getByText('quoted').waitFor();
  assert.ok(await fits());
  await assertAccessible(page, 'phone');
  await page.getByRole('button', { name: 'Settings' }).click();
  assert.ok(await fits());
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Conversations' }).click();
  await page.getByRole('navigation', { name: 'Conversations' }).waitFor();
  await assertAccessible(page, 'list');
  await page.keyboard.press('Escape');
  assert.equal(await page.getByRole('navigation').count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), 'Conversations');
  await leave(page);
});

test('the theme is chosen and stays', async () => {
  const page = await visit(browserOf(), url(), { colorScheme: 'light' });
  await page.getByRole('button', { name: 'Colours: of the system' }).click();
  await page.getByRole('button', { name: 'Colours: light' }).click();
  await page.reload();
  await page.getByRole('button', { name: 'Colours: dark' }).waitFor();
  assert.equal(await page.locator('html').getAttribute('data-theme'), 'dark');
  await leave(page);
});

test('all is reached by keys', async () => {
  const page = await visit(browserOf(), url());
  await scripted(page, wholeAnswer('Ho'));
  await talk(page, 'Hi');
  await page.keyboard.press('Alt+ArrowUp');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'message of-assistant');
  await page.keyboard.press('Alt+ArrowUp');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'message of-user');
  await page.keyboard.press('Shift+Escape');
  await page.keyboard.press('ArrowUp');
  await page.getByRole('textbox', { name: 'Edit message' }).waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Alt+r');
  await page.getByText('2/2').waitFor();
  await page.keyboard.press('Control+k');
  await page.waitForFunction(() => document.activeElement.id === 'search');
  await page.keyboard.press('Control+b');
  assert.equal(await page.getByRole('navigation').count(), 0);
  await page.keyboard.press('Control+,');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Control+Shift+O');
  await page.locator('.empty').waitFor();
  await page.waitForFunction(() => document.activeElement.id === 'composer');
  await leave(page);
});

test('a reader who has scrolled up is left in peace', async () => {
  const page = await visit(browserOf(), url(), {
    viewport: { width: 1000, height: 400 },
  });
  await hanging(page, piece({ content: 'One line.\n\n'.repeat(60) }));
  await type(page, 'Go');
  const atEnd = () =>
    page
      .locator('.scroller')
      .evaluate((node) => node.scrollHeight - node.scrollTop - node.clientHeight < 50);
  await page.getByText('One line.').first().waitFor();
  await page.waitForFunction(() => document.querySelectorAll('.block').length === 60);
  assert.ok(await atEnd());
  await page.locator('.scroller').evaluate((node) => (node.scrollTop = 0));
  await page.getByRole('button', { name: 'To the end' }).click();
  assert.ok(await atEnd());
  await page.keyboard.press('Escape');
  await leave(page);
});
