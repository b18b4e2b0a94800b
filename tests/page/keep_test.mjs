// Goal: what a reader wrote and got stays in the browser, comes back, and leaves only on demand.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import {
  answers,
  button,
  hanging,
  leave,
  pageTests,
  piece,
  said,
  scripted,
  talk,
  type,
  visit,
  wholeAnswer,
} from './support.mjs';

const { inPage, browserOf, url } = pageTests();
const titles = (page) => page.locator('.item-title').allTextContents();

inPage('conversations stay, are found, renamed and deleted', async (page) => {
  await scripted(page, wholeAnswer('A vixen'));
  await talk(page, 'Foxes');
  await button(page, 'New conversation').click();
  await talk(page, 'Birds');
  await page.reload();
  await page.locator('.item-title').nth(1).waitFor();
  assert.deepEqual(await titles(page), ['Birds', 'Foxes']);
  assert.match(await page.locator('.question').innerText(), /Birds/);
  await page.getByLabel('Search conversations').fill('vixen fox');
  assert.deepEqual(await titles(page), ['Foxes']);
  await page.getByLabel('Search conversations').fill('');
  await button(page, 'Foxes').hover();
  await button(page, 'Rename Foxes').click();
  await page.getByLabel('Title').fill('All about foxes');
  await page.keyboard.press('Enter');
  await button(page, 'All about foxes').click();
  await button(page, 'Delete All about foxes').click();
  assert.deepEqual(await titles(page), ['Birds']);
  await button(page, 'Undo').click();
  assert.equal((await titles(page)).length, 2);
  await page.reload();
  await page.locator('.item-title').nth(1).waitFor();
  assert.ok((await titles(page)).includes('All about foxes'));
});

inPage('an answer that a reload cut off is kept', async (page) => {
  await hanging(page, piece({ content: 'Once upon a time' }));
  await type(page, 'Go');
  await said(page, 'Once upon a time').waitFor();
  await page.reload();
  await said(page, 'Once upon a time').waitFor();
  await said(page, 'The page was closed before the answer was complete.').waitFor();
});

inPage('an unsent message survives a reload', async (page) => {
  const field = page.getByRole('textbox', { name: 'Message', exact: true });
  await field.fill('Not sent yet');
  await page.reload();
  await field.waitFor();
  assert.equal(await field.inputValue(), 'Not sent yet');
});

inPage('an export comes back', async (page) => {
  await scripted(page, wholeAnswer('A vixen'));
  await talk(page, 'Foxes');
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    button(page, 'Export all').click(),
  ]);
  const path = await download.path();
  assert.equal(JSON.parse(await readFile(path, 'utf8')).conversations.length, 1);
  const other = await visit(browserOf(), url());
  await other.locator('input[type=file]').setInputFiles(path);
  await other.getByText('One conversation is new.').waitFor();
  await button(other, 'Foxes').click();
  await said(other, 'A vixen').waitFor();
  await other.locator('input[type=file]').setInputFiles({
    name: 'x.json',
    mimeType: 'application/json',
    buffer: Buffer.from('{}'),
  });
  await other.getByText('The file is no export of this page.').waitFor();
  await leave(other);
});

inPage('a message without an answer gets one', async (page) => {
  await scripted(page, wholeAnswer('A vixen'));
  await talk(page, 'Foxes');
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    button(page, 'Export all').click(),
  ]);
  const file = JSON.parse(await readFile(await download.path(), 'utf8'));
  const [one] = file.conversations;
  Object.assign(one, { id: 'other', title: 'Half', messages: one.messages.slice(0, 1) });
  const buffer = Buffer.from(JSON.stringify(file));
  const half = { name: 'half.json', mimeType: 'application/json', buffer };
  await page.locator('input[type=file]').setInputFiles(half);
  await button(page, 'Half').click();
  await button(page, 'Get an answer').click();
  await said(page, 'A vixen').waitFor();
});

inPage('the back button goes to the conversation before', async (page) => {
  await scripted(page, wholeAnswer('A vixen'));
  await talk(page, 'Foxes');
  await button(page, 'New conversation').click();
  await page.locator('.empty').waitFor();
  await page.goBack();
  await said(page, 'A vixen').waitFor();
  assert.equal(await page.title(), 'Foxes · Fathom');
});

inPage('two tabs know the same conversations', async (page) => {
  const other = await page.context().newPage();
  await other.goto(url());
  await other.getByText('No conversations yet.').waitFor();
  await scripted(page, wholeAnswer('A vixen'));
  await talk(page, 'Foxes');
  await button(other, 'Foxes').click();
  await said(other, 'A vixen').waitFor();
  await button(page, 'Foxes').hover();
  await button(page, 'Delete Foxes').click();
  await other.getByText('No conversations yet.').waitFor();
});

inPage('an answer that another tab writes is left to it', async (page) => {
  const other = await page.context().newPage();
  await other.goto(url());
  await other.getByText('No conversations yet.').waitFor();
  await hanging(page, piece({ content: 'Once upon' }));
  await type(page, 'Go');
  await button(other, 'Go').click();
  await said(other, 'Once upon').waitFor();
  await said(other, 'Another tab writes this answer.').waitFor();
  await button(page, 'Stop the answer').click();
  await said(other, 'You stopped this answer.').waitFor();
});

inPage('a browser that keeps nothing still talks', async (page) => {
  await page.addInitScript(() => {
    indexedDB.open = () => {
      throw new DOMException('switched off', 'SecurityError');
    };
    Storage.prototype.setItem = () => {
      throw new DOMException('switched off', 'SecurityError');
    };
  });
  await page.reload();
  await page.getByText('This browser does not keep conversations for this page').waitFor();
  await scripted(page, wholeAnswer('A vixen'));
  await talk(page, 'Foxes');
  assert.match(await answers(page).innerText(), /A vixen/);
});
