// Makes dist/index.html of src/: one file with its script, its styles and the policy that allows
// just these two.
//   node build.mjs            writes dist/
//   node build.mjs --check    compares with dist/ and fails where they differ
// The same sources and the same package-lock.json give the same bytes.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, transform } from 'esbuild';

const root = import.meta.dirname;
const dist = join(root, 'dist');
const SIZE_MAX = 700 * 1024;

const sha256 = (text) => `'sha256-${createHash('sha256').update(text, 'utf8').digest('base64')}'`;
const read = (path) => readFileSync(join(root, path), 'utf8');

async function bundle(entry) {
  const result = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    format: 'iife',
    target: ['chrome111', 'firefox115', 'safari16.4'],
    charset: 'ascii',
    legalComments: 'none', // licences stand in LICENSES.txt
    jsx: 'automatic',
    jsxImportSource: 'preact',
    define: { 'process.env.NODE_ENV': '"production"' },
  });
  return { text: result.outputFiles[0].text.trim(), inputs: Object.keys(result.metafile.inputs) };
}

/**
 * What stands between the script tags holds nothing that HTML takes for a tag, and ASCII only:
 * esbuild leaves other characters in regular expressions. The escapes mean the same to JavaScript.
 */
async function forHtml(script) {
  const escaped = script
    .replace(/<(script|\/script|!--)/giu, (_, tag) => `\\x3c${tag}`)
    .replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
  await transform(escaped, { loader: 'js' }); // still a program
  if (/<\/?script|<!--|\r/iu.test(escaped)) throw new Error('the script cannot stand in HTML');
  return escaped;
}

/**
 * Model output reaches the document through DOMPurify alone: browsers with Trusted Types see to it.
 */
function policy(script, style) {
  return [
    "default-src 'none'",
    `script-src ${sha256(script)}`,
    `style-src ${sha256(style)}`,
    'img-src data:',
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    'trusted-types dompurify',
  ].join('; ');
}

function licences(inputs) {
  const names = inputs
    .map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//u.exec(path)?.[1])
    .filter((name) => name !== undefined);
  const texts = [...new Set(names)].sort().map((name) => {
    const folder = `node_modules/${name}`;
    const { version, license } = JSON.parse(read(`${folder}/package.json`));
    const file = readdirSync(join(root, folder))
      .sort()
      .find((one) => /^licen[cs]e/iu.test(one));
    if (!file) throw new Error(`${name} comes without its licence`);
    return `${name} ${version}, ${license}\n\n${read(`${folder}/${file}`).replace(/\r/gu, '').trim()}\n`;
  });
  const line = `\n${'-'.repeat(80)}\n\n`;
  return `The chat page contains these libraries.\n${line}${texts.join(line)}`;
}

async function make() {
  const [code, css] = await Promise.all([bundle('src/main.tsx'), bundle('src/style/main.css')]);
  const script = await forHtml(code.text);
  const parts = {
    policy: policy(script, css.text),
    icon: `data:image/svg+xml;base64,${Buffer.from(read('src/icon.svg').trim()).toString('base64')}`,
    style: css.text,
    script,
  };
  const html = read('src/index.html').replace(/\{\{(\w+)\}\}/gu, (_, name) => parts[name]);
  if (!html.includes(`<script>${script}</script>`)) throw new Error('the template lost its script');
  if (html.length > SIZE_MAX)
    throw new Error(`the page has ${html.length} bytes, at most ${SIZE_MAX} are good`);
  return { 'index.html': html, 'LICENSES.txt': licences(code.inputs) };
}

const files = await make();
if (process.argv.includes('--check')) {
  const differs = Object.keys(files).filter((name) => {
    const path = join(dist, name);
    return !existsSync(path) || readFileSync(path, 'utf8') !== files[name];
  });
  if (differs.length > 0) {
    console.error(
      `dist/${differs.join(', dist/')} is not what the sources give: run npm run build`,
    );
    process.exit(1);
  }
  console.log('dist/ is what the sources give');
} else {
  mkdirSync(dist, { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dist, name), text);
  console.log(`dist/index.html ${files['index.html'].length} bytes`);
}
