// npm run dev [-- URL]: the page at http://127.0.0.1:5173, built anew at each load, before a
// running `fathom serve`.
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { startProxy } from './proxy.mjs';

const target = process.argv[2] ?? 'http://127.0.0.1:8080';
const run = promisify(execFile);

async function page() {
  await run(process.execPath, ['build.mjs'], { cwd: import.meta.dirname });
  return readFile(`${import.meta.dirname}/dist/index.html`, 'utf8');
}

const server = await startProxy({ page, target, port: 5173 });
console.log(`http://127.0.0.1:${server.address().port} before ${target}`);
