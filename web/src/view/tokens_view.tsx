// An answer as its tokens, shaded by probability. Pointer or arrow keys show what else could have
// stood there.
import type { JSX } from 'preact';
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { ScoredToken } from '../model/types';
import { percent, probabilityOf, shownTokens, visibleText } from '../text/tokens';

const MARGIN_PX = 8;

/** Below the token, or above where there is no room, always inside the window. */
function place(card: HTMLElement, token: Element): void {
  const at = token.getClientRects()[0] ?? token.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = card;
  const left = Math.min(Math.max(MARGIN_PX, at.left), innerWidth - width - MARGIN_PX);
  const below = at.bottom + MARGIN_PX;
  const top = below + height > innerHeight ? at.top - height - MARGIN_PX : below;
  card.style.left = `${left}px`;
  card.style.top = `${Math.max(MARGIN_PX, top)}px`;
}

export function TokensView({ tokens, id }: { tokens: ScoredToken[]; id: string }): JSX.Element {
  const root = useRef<HTMLDivElement>(null);
  const card = useRef<HTMLDivElement>(null);
  const [active, setActive] = useState(0); // the one that Tab reaches
  const [open, setOpen] = useState<number | null>(null);
  const shown = useMemo(() => shownTokens(tokens), [tokens]);
  const opened = open === null ? undefined : tokens[open];

  useLayoutEffect(() => {
    const token = open === null ? null : root.current?.children[open];
    if (card.current && token) place(card.current, token);
  }, [open]);

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
        aria-label="Tokens with probabilities: arrow keys go through them"
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
            aria-label={`${visibleText(token.text)}, ${percent(token.probability)}`}
            aria-describedby={open === i ? `${id}-card` : undefined}
          >
            {token.text}
          </span>
        ))}
      </div>
      {opened && <TokenCard token={opened} id={`${id}-card`} card={card} />}
    </>
  );
}

interface TokenCardProps {
  token: ScoredToken;
  id: string;
  card: { current: HTMLDivElement | null };
}

function TokenCard({ token, id, card }: TokenCardProps): JSX.Element {
  const isAmong = token.alternatives.some((other) => other.text === token.text);
  const rows = isAmong ? token.alternatives : [...token.alternatives, token];
  return (
    <div class="token-card" role="tooltip" id={id} ref={card}>
      {rows.map((row) => (
        <div class={row.text === token.text ? 'token-row is-taken' : 'token-row'} key={row.text}>
          <span class="token-name">{visibleText(row.text)}</span>
          <meter aria-hidden="true" min={0} max={1} value={probabilityOf(row.logprob)} />
          <span class="token-percent">{percent(probabilityOf(row.logprob))}</span>
        </div>
      ))}
    </div>
  );
}
