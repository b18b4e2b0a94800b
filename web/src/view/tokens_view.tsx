// An answer as its tokens, shaded by probability where it was asked for. Pointer or arrow keys show
// what else could have stood there, and which experts wrote it.
import type { ComponentChildren, JSX } from 'preact';
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { choicesAt, type Routing } from '../model/routing';
import type { ScoredToken } from '../model/types';
import {
  isScored,
  percent,
  probabilityOf,
  shownTokens,
  visibleText,
  type ShownToken,
} from '../text/tokens';
import { TokenExperts } from './token_experts';

const MARGIN_PX = 8;

/**
 * Below the token, or above where there is no room or what stands below is looked at; always inside
 * the window.
 */
function place(card: HTMLElement, token: Element, isMapShown: boolean): void {
  const at = token.getClientRects()[0] ?? token.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = card;
  const left = Math.min(Math.max(MARGIN_PX, at.left), innerWidth - width - MARGIN_PX);
  const below = at.bottom + MARGIN_PX;
  const above = at.top - height - MARGIN_PX;
  const top = below + height > innerHeight || (isMapShown && above >= MARGIN_PX) ? above : below;
  card.style.left = `${left}px`;
  card.style.top = `${Math.max(MARGIN_PX, top)}px`;
}

interface TokensViewProps {
  tokens: ScoredToken[];
  routing: Routing | null;
  /** Below the answer, with the experts of the open token marked in it. */
  isMapShown: boolean;
  id: string;
  open: number | null;
  setOpen: (index: number | null) => void;
}

export function TokensView(props: TokensViewProps): JSX.Element {
  const { tokens, routing, isMapShown, id, open, setOpen } = props;
  const root = useRef<HTMLDivElement>(null);
  const card = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0); // the one that Tab reaches
  const shown = useMemo(() => shownTokens(tokens), [tokens]);
  const opened = open === null ? undefined : tokens[open];

  useLayoutEffect(() => {
    const token = open === null ? null : root.current?.children[open];
    if (card.current && token) place(card.current, token, isMapShown);
  }, [open, isMapShown]);

  const focus = (index: number): void => {
    const next = root.current?.children[index];
    if (!(next instanceof HTMLElement)) return;
    setActive(index);
    next.focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const last = tokens.length - 1;
    const moves: Record<string, number> = {
      ArrowLeft: active - 1,
      ArrowRight: active + 1,
      Home: 0,
      End: last,
    };
    if (event.key === 'Escape' && open !== null) {
      setOpen(null);
      event.stopPropagation();
    } else if (event.key in moves && !event.altKey && !event.ctrlKey && !event.metaKey) {
      focus(Math.min(last, Math.max(0, moves[event.key] ?? 0)));
      event.preventDefault();
    }
  };
  const indexOf = (target: EventTarget | null): number | null => {
    const token = target instanceof Element ? target.closest('.token') : null;
    return token?.parentElement ? [...token.parentElement.children].indexOf(token) : null;
  };
  const follow = (event: Event): void => setOpen(indexOf(event.target));

  return (
    <>
      <div
        class="tokens"
        role="listbox"
        aria-label={`Tokens${tokens.some(isScored) ? ' with probabilities' : ''}: arrow keys go through them`}
        ref={root}
        onKeyDown={onKeyDown}
        onMouseOver={follow}
        onFocusIn={(event) => {
          setActive(indexOf(event.target) ?? 0);
          follow(event);
        }}
        onMouseLeave={() => setOpen(null)}
        onFocusOut={() => setOpen(null)}
      >
        {shown.map((token, i) => (
          <span
            key={i}
            class={`token shade-${token.shade}${token.isSpecial ? ' is-special' : ''}`}
            role="option"
            aria-selected={open === i}
            tabIndex={i === Math.min(active, tokens.length - 1) ? 0 : -1}
            aria-label={nameOf(token)}
            aria-describedby={open === i ? `${id}-card` : undefined}
          >
            {token.text}
          </span>
        ))}
      </div>
      {opened && open !== null && (
        <TokenCard token={opened} id={`${id}-card`} card={card}>
          {routing && (
            <TokenExperts
              shape={routing}
              choices={choicesAt(routing, open)}
              isMapShown={isMapShown}
            />
          )}
        </TokenCard>
      )}
    </>
  );
}

function nameOf({ text, probability, isScored }: ShownToken): string {
  return visibleText(text) + (isScored ? `, ${percent(probability)}` : '');
}

interface TokenCardProps {
  token: ScoredToken;
  id: string;
  card: { current: HTMLDivElement | null };
  children: ComponentChildren;
}

function TokenCard({ token, id, card, children }: TokenCardProps): JSX.Element {
  const isAmong = token.alternatives.some((other) => other.text === token.text);
  const rows = isAmong ? token.alternatives : [...token.alternatives, token];
  return (
    <div class="token-card" role="tooltip" id={id} ref={card}>
      {rows.map((row) => (
        <div class={row.text === token.text ? 'token-row is-taken' : 'token-row'} key={row.text}>
          <span class="token-name">{visibleText(row.text)}</span>
          {isScored(token) && (
            <>
              <meter aria-hidden="true" min={0} max={1} value={probabilityOf(row.logprob)} />
              <span class="token-percent">{percent(probabilityOf(row.logprob))}</span>
            </>
          )}
        </div>
      ))}
      {children}
    </div>
  );
}
