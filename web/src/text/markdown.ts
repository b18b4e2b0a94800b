// Markdown to HTML, one piece per block, so that a growing answer only changes its last piece.
// Raw HTML in the source is text. The pieces still pass sanitize.ts before they reach the page.
import MarkdownIt from 'markdown-it';
import { highlighted } from './highlight';
import { escapeHtml, mathPlugin } from './math';

export const SAFE_LINK = /^(?:https?:|mailto:)/iu;

const md = new MarkdownIt({ html: false, linkify: true, typographer: false });
md.use(mathPlugin);
md.validateLink = (url) => SAFE_LINK.test(url.trim());

const rules = md.renderer.rules;

function codeBlock(code: string, info: string): string {
  const language = info.trim().split(/\s+/u)[0] ?? '';
  const label = language ? escapeHtml(language.slice(0, 40)) : 'text';
  return (
    `<div class="code-block"><div class="code-head"><span>${label}</span>` +
    `<button type="button" class="copy-code">Copy code</button></div>` +
    `<pre><code>${highlighted(code, language.toLowerCase())}</code></pre></div>`
  );
}

rules['fence'] = (tokens, idx) => codeBlock(tokens[idx]?.content ?? '', tokens[idx]?.info ?? '');
rules['code_block'] = (tokens, idx) => codeBlock(tokens[idx]?.content ?? '', '');

// A picture would be loaded from elsewhere, so it becomes a link to it.
rules['image'] = (tokens, idx) => {
  const token = tokens[idx];
  const alt = token?.content || 'image';
  return `<a href="${escapeHtml(String(token?.attrGet('src') ?? ''))}">${escapeHtml(alt)} (image)</a>`;
};

// The page's own headings are h1 and h2.
for (const rule of ['heading_open', 'heading_close'] as const)
  rules[rule] = (tokens, idx, options, _env, self) => {
    const token = tokens[idx];
    if (token) token.tag = `h${Math.min(6, Number(/\d/u.exec(token.tag)?.[0] ?? 1) + 2)}`;
    return self.renderToken(tokens, idx, options);
  };

// Columns are aligned by classes: the page's policy forbids style attributes.
for (const rule of ['th_open', 'td_open'] as const)
  rules[rule] = (tokens, idx, options, _env, self) => {
    const token = tokens[idx];
    const align = /(left|right|center)/u.exec(String(token?.attrGet('style') ?? ''))?.[0];
    if (token) token.attrs = align ? [['class', `align-${align}`]] : null;
    return self.renderToken(tokens, idx, options);
  };
rules['table_open'] = () => '<div class="table-frame"><table>';
rules['table_close'] = () => '</table></div>';

const CACHE_SIZE_MAX = 400;
const cache = new Map<string, string>();

function remembered(key: string, make: () => string): string {
  const known = cache.get(key);
  if (known !== undefined) return known;
  if (cache.size >= CACHE_SIZE_MAX) cache.clear();
  const html = make();
  cache.set(key, html);
  return html;
}

/** The HTML of each top-level block. */
export function markdownBlocks(source: string): string[] {
  const env = {};
  const tokens = md.parse(source, env);
  const lines = source.split('\n');
  const blocks: string[] = [];
  let start = 0;
  for (let i = 0; i < tokens.length; ++i) {
    const token = tokens[i];
    if (!token || token.level !== 0 || token.nesting > 0) continue;
    const piece = tokens.slice(start, i + 1);
    const map = tokens[start]?.map;
    // A block that uses a definition from elsewhere reads [name]: it is not remembered.
    const text = map ? lines.slice(map[0], map[1]).join('\n') : '';
    const make = (): string => md.renderer.render(piece, md.options, env);
    blocks.push(text && !text.includes('[') ? remembered(text, make) : make());
    start = i + 1;
  }
  return blocks;
}
