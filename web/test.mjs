// npm test: bundles each src/**/*_test.ts and runs them all with node:test.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const root = import.meta.dirname;
const tests = readdirSync(join(root, 'src'), { recursive: true })
  .filter((path) => path.endsWith('_test.ts'))
  .map((path) => join(root, 'src', path));
const out = mkdtempSync(join(root, 'node_modules/.tests-')); // here, so that the bundles find jsdom
try {
  await build({
    entryPoints: tests,
    outdir: out,
    outExtension: { '.js': '.mjs' },
    entryNames: '[name]',
    bundle: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    sourcemap: 'inline',
  });
  const bundles = readdirSync(out).map((name) => join(out, name));
  const { status } = spawnSync(
    process.execPath,
    ['--enable-source-maps', '--test', '--test-concurrency=1', ...bundles],
    { stdio: 'inherit' },
  );
  process.exitCode = status ?? 1;
} finally {
  rmSync(out, { recursive: true });
}
