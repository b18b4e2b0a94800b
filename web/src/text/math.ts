// Maths in Markdown: $…$ and \(…\) in a line, $$…$$ and \[…\] anywhere, as MathML that browsers set
// themselves.
import type { MarkdownIt, StateBlock, StateInline } from 'markdown-it';
import temml from 'temml';

const SOURCE_LENGTH_MAX = 10_000;

export function mathMl(source: string, isDisplayed: boolean): string {
  if (source.length > SOURCE_LENGTH_MAX) return `<code>${escapeHtml(source)}</code>`;
  try {
    const html = temml.renderToString(source, {
      displayMode: isDisplayed,
      throwOnError: true,
      strict: false,
      trust: false,
      maxExpand: 500,
      maxSize: [60, 60],
    });
    // The page's policy forbids style attributes; sanitize.ts sets the harmless ones of these.
    return html.replaceAll(' style="', ' data-style="');
  } catch {
    return `<code class="math-source">${escapeHtml(source)}</code>`;
  }
}

export function escapeHtml(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/gu, (character) => names[character] ?? '');
}

const PAIRS = [
  { open: '$$', close: '$$', isDisplayed: true },
  { open: '\\[', close: '\\]', isDisplayed: true },
  { open: '\\(', close: '\\)', isDisplayed: false },
  { open: '$', close: '$', isDisplayed: false },
] as const;

/** Where the maths that begins with `open` ends, or -1. */
function closingAt(text: string, start: number, close: string): number {
  for (let at = start; at < text.length; ++at) {
    if (text.startsWith(close, at)) return at;
    if (text[at] === '\\') ++at;
  }
  return -1;
}

/** "$5 and $6" is no formula: no blank just inside, no digit just after. */
function looksLikeMath(source: string, after: string): boolean {
  return /^\S/u.test(source) && /\S$/u.test(source) && !/^\d/u.test(after);
}

function inlineMath(state: StateInline, silent: boolean): boolean {
  const pair = PAIRS.find(({ open }) => state.src.startsWith(open, state.pos));
  if (!pair) return false;
  const start = state.pos + pair.open.length;
  const end = closingAt(state.src, start, pair.close);
  if (end <= start) return false;
  const source = state.src.slice(start, end);
  if (pair.open === '$' && !looksLikeMath(source, state.src.slice(end + 1))) return false;
  if (!silent) {
    const token = state.push('math', '', 0);
    token.content = source.trim();
    token.meta = { isDisplayed: pair.isDisplayed };
  }
  state.pos = end + pair.close.length;
  return true;
}

function blockMath(
  state: StateBlock,
  startLine: number,
  endLine: number,
  silent: boolean,
): boolean {
  const lineOf = (line: number): string =>
    state.src.slice((state.bMarks[line] ?? 0) + (state.tShift[line] ?? 0), state.eMarks[line]);
  const first = lineOf(startLine);
  const pair = PAIRS.find(({ open, isDisplayed }) => isDisplayed && first.startsWith(open));
  if (!pair) return false;
  const lines: string[] = [];
  for (let line = startLine; line < endLine; ++line) {
    lines.push(line === startLine ? first.slice(pair.open.length) : lineOf(line));
    const source = lines.join('\n').trimEnd();
    const end = closingAt(source, 0, pair.close);
    if (end < 0) continue;
    if (end + pair.close.length !== source.length) return false; // text follows: an inline formula
    if (silent) return true;
    const token = state.push('math', '', 0);
    token.content = source.slice(0, end).trim();
    token.meta = { isDisplayed: true };
    token.map = [startLine, line + 1];
    state.line = line + 1;
    return true;
  }
  return false;
}

export function mathPlugin(md: MarkdownIt): void {
  md.inline.ruler.before('escape', 'math', inlineMath);
  md.block.ruler.before('fence', 'math', blockMath, {
    alt: ['paragraph', 'reference', 'blockquote', 'list'],
  });
  md.renderer.rules['math'] = (tokens, idx) => {
    const token = tokens[idx];
    if (!token) return '';
    const { isDisplayed } = token.meta as { isDisplayed: boolean };
    const html = mathMl(token.content, isDisplayed);
    return isDisplayed ? `<span class="formula">${html}</span>` : html;
  };
}
