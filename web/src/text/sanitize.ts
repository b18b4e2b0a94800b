// The only door between model output and the document: HTML text to nodes that can neither run nor
// load anything.
import createDOMPurify, { type Config, type DOMPurify } from 'dompurify';
import { SAFE_LINK } from './markdown';

const HTML_TAGS =
  'a blockquote br button code del div em h3 h4 h5 h6 hr li ol p pre s span strong table tbody td th thead tr ul';
const MATH_TAGS =
  'math menclose merror mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace ' +
  'msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover none semantics';
const HARMLESS_ATTRIBUTES = [
  'class start title type',
  'accent accentunder columnalign columnlines columnspan data-style depth dir display displaystyle fence form height',
  'largeop linethickness lspace mathvariant maxsize minsize movablelimits notation rowlines rowspan rspace',
  'scriptlevel separator stretchy symmetric voffset width',
].flatMap((names) => names.split(' '));

const config: Config = {
  ALLOWED_TAGS: [...HTML_TAGS.split(' '), ...MATH_TAGS.split(' ')],
  ALLOWED_ATTR: ['href', ...HARMLESS_ATTRIBUTES],
  ALLOWED_URI_REGEXP: SAFE_LINK,
  ADD_URI_SAFE_ATTR: HARMLESS_ATTRIBUTES, // the pattern of links would refuse their values
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

/** Formulas carry their layout as styles; these properties can only change how something looks. */
const SAFE_STYLE = new RegExp(
  `^(?:${[
    'color|background-color|font-(?:size|style|weight)|text-align|vertical-align',
    '(?:padding|margin|border)(?:-[a-z]+)*|width|height|math-(?:style|depth|shift)',
  ].join('|')})$`,
  'u',
);
const UNSAFE_VALUE = /url|expression|image|var\(|[\\@<]|(?:^|\s)-/iu;

function applyStyles(root: DocumentFragment): void {
  // Where formulas have no styles of their own, they do without.
  const styled = root.querySelectorAll<Element & Partial<ElementCSSInlineStyle>>('[data-style]');
  for (const element of styled) {
    for (const declaration of (element.getAttribute('data-style') ?? '').split(';')) {
      const [property = '', value = ''] = declaration.split(':').map((part) => part.trim());
      if (SAFE_STYLE.test(property) && !UNSAFE_VALUE.test(value))
        element.style?.setProperty(property, value);
    }
    element.removeAttribute('data-style');
  }
}

export type Sanitizer = (html: string) => DocumentFragment;

/** `window` is a parameter for tests outside a browser. */
export function createSanitizer(window: Window & typeof globalThis): Sanitizer {
  const purify: DOMPurify = createDOMPurify(window);
  purify.addHook('afterSanitizeAttributes', (node) => {
    if (node.tagName !== 'A') return;
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer');
  });
  return (html) => {
    const fragment = purify.sanitize(html, { ...config, RETURN_DOM_FRAGMENT: true });
    applyStyles(fragment);
    return fragment;
  };
}
