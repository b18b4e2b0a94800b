// An answer's Markdown in the document: blocks that did not change keep their nodes, and with them
// selection and focus.
import type { JSX } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { markdownBlocks } from '../text/markdown';
import { createSanitizer } from '../text/sanitize';
import { copyCodeOf } from './copy';

const sanitize = createSanitizer(window);

function blockNode(html: string): HTMLElement {
  const node = document.createElement('div');
  node.className = 'block';
  node.append(sanitize(html));
  return node;
}

/** What is wider than the page scrolls, by keys too. */
function makeReachable(block: Element): void {
  for (const frame of block.querySelectorAll<HTMLElement>('pre, .table-frame, .formula'))
    if (frame.scrollWidth > frame.clientWidth) frame.tabIndex = 0;
}

export function MarkdownView({ source }: { source: string }): JSX.Element {
  const root = useRef<HTMLDivElement>(null);
  const shown = useRef<string[]>([]);

  useLayoutEffect(() => {
    const node = root.current;
    if (!node) return;
    const blocks = markdownBlocks(source);
    blocks.forEach((html, i) => {
      if (shown.current[i] === html) return;
      const block = blockNode(html);
      const old = node.children[i];
      if (old) old.replaceWith(block);
      else node.append(block);
      makeReachable(block);
    });
    while (node.children.length > blocks.length) node.lastElementChild?.remove();
    shown.current = blocks;
  }, [source]);

  const onClick = (event: MouseEvent): void => {
    const button = event.target instanceof Element ? event.target.closest('.copy-code') : null;
    if (button instanceof HTMLElement) void copyCodeOf(button);
  };
  return <div class="markdown" ref={root} onClick={onClick} />;
}
