// What the page's tests stand on: a server, a browser, a page that is watched, and answers by a
// script.
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startProxy } from '../../web/proxy.mjs';

const drivers = createRequire(`${process.env.PAGE_DRIVERS}/`);
const { chromium } = drivers('playwright-core');
const axeSource = await readFile(drivers.resolve('axe-core/axe.min.js'), 'utf8');

/** Starts `fathom serve`; with PAGE_FILE that file stands before it. */
export async function startServer(...options) {
  const child = spawn(process.env.FATHOM, ['serve', '--port', '0', ...options]);
  const address = await new Promise((resolve, reject) => {
    let said = '';
    child.stderr.on('data', (data) => {
      said += data;
      const found = /(http:\/\/[\d.]+:\d+)\/v1/.exec(said);
      if (found) resolve(found[1]);
    });
    child.on('error', reject);
    child.on('exit', () => reject(new Error(`fathom serve ended: ${said}`)));
  });
  const stopChild = () => child.kill('SIGKILL');
  if (!process.env.PAGE_FILE) return { url: `${address}/`, stop: stopChild };
  const proxy = await startProxy({
    page: () => readFile(process.env.PAGE_FILE),
    target: address,
  });
  const stop = () => {
    proxy.close();
    proxy.closeAllConnections();
    stopChild();
  };
  return { url: `http://127.0.0.1:${proxy.address().port}/`, stop };
}

export function startBrowser() {
  const args = process.getuid() === 0 ? ['--no-sandbox'] : [];
  return chromium.launch({ executablePath: '/usr/bin/chromium', args });
}

/**
 * A fresh visitor. `faults` collects what must stay empty: errors of scripts and breaches of the
 * policy.
 */
export async function visit(browser, url, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    ...options,
  });
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(String(error)));
  page.on('dialog', (dialog) => page.faults.push(`dialog ${dialog.message()}`));
  page.on('console', (message) => {
    const isStatus = message.text().startsWith('Failed to load resource');
    if (message.type() === 'error' && !isStatus) page.faults.push(message.text());
  });
  await page.addInitScript(() =>
    addEventListener('securitypolicyviolation', (event) =>
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
    ),
  );
  page.asked = [];
  page.on('request', (request) => {
    if (request.url().endsWith('/chat/completions')) page.asked.push(request.postDataJSON());
  });
  await page.goto(url);
  await page.getByRole('textbox', { name: 'Message', exact: true }).waitFor();
  return page;
}

export async function leave(page) {
  assert.deepEqual(page.faults, []);
  await page.context().close();
}

export async function type(page, text) {
  const field = page.getByRole('textbox', { name: 'Message', exact: true });
  await field.fill(text);
  await field.press('Enter');
}

export const answers = (page) => page.locator('.of-assistant');

export async function answered(page, count = 1) {
  await page.waitForFunction(
    (n) => document.querySelectorAll('.of-assistant .answer:not(.is-writing)').length === n,
    count,
  );
}

/** Types and waits for the end of the answer. */
export async function talk(page, text, count = 1) {
  await type(page, text);
  await answered(page, count);
}

const event = (json) => `data: ${JSON.stringify(json)}\n\n`;
export const DONE = 'data: [DONE]\n\n';

export function piece(delta, finish_reason = null, logprobs = null, routed_experts = undefined) {
  return event({ choices: [{ index: 0, delta, finish_reason, logprobs, routed_experts }] });
}

export const usage = (prompt_tokens, completion_tokens) =>
  event({ choices: [], usage: { prompt_tokens, completion_tokens } });

/** The next answers are these bytes. */
export async function scripted(page, body, status = 200) {
  await page.route('**/v1/chat/completions', (route) =>
    route.fulfill({
      status,
      contentType: status === 200 ? 'text/event-stream' : 'application/json',
      body,
    }),
  );
}

export const unscripted = (page) => page.unroute('**/v1/chat/completions');

export const wholeAnswer = (text) =>
  piece({ content: text }) + piece({}, 'stop') + usage(40, 20) + DONE;

/** The next answers are these bytes, and then nothing: a stream that goes on. */
export async function hanging(page, body) {
  await page.evaluate((text) => {
    const real = window.fetch;
    window.fetch = (path, init) => {
      if (!String(path).endsWith('/chat/completions')) return real(path, init);
      const stream = new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode(text));
          init.signal.addEventListener('abort', () => controller.error(init.signal.reason));
        },
      });
      return Promise.resolve(new Response(stream));
    };
  }, body);
}

export async function assertAccessible(page, where) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const found = violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' | ')}`,
  );
  assert.deepEqual(found, [], where);
}

export const button = (page, name) => page.getByRole('button', { name, exact: true });

/** In the conversation itself, not in what screen readers are told. */
export const said = (page, text) => page.getByRole('main').getByText(text);

/** Opens the settings, does something there, closes them. */
export async function inSettings(page, run) {
  await button(page, 'Settings').click();
  await run(page.getByRole('dialog'));
  await page.keyboard.press('Escape');
}

/** A server and a browser for one file of tests. */
export function pageTests() {
  let server, browser;
  before(async () => {
    server = await startServer();
    browser = await startBrowser();
  });
  after(async () => {
    await browser.close();
    server.stop();
  });
  /** One test in a fresh browser profile; nothing may have gone wrong in it. */
  const inPage = (name, run, options) =>
    test(name, async () => {
      const page = await visit(browser, server.url, options);
      await run(page);
      await leave(page);
    });
  return { inPage, browserOf: () => browser, url: () => server.url };
}
