// Below an answer: how often each expert wrote in it. Pointer or arrow keys tell each place.
import type { JSX } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { choicesAt, type Routing } from '../model/routing';
import { announce } from '../state/notices';
import {
  CELL,
  cellText,
  heatOf,
  isSpaced,
  LEVEL_NAMES,
  levelsOf,
  summaryOf,
  type Heat,
} from '../text/experts';
import { ExpertCells } from './expert_cells';

interface MapProps {
  routing: Routing;
  /** The one that is pointed at. */
  token: number | null;
}

interface PanelProps extends MapProps {
  isOpen: boolean;
  setOpen: (isOpen: boolean) => void;
}

interface Cell {
  layer: number;
  expert: number;
}

export function ExpertsPanel({ routing, token, isOpen, setOpen }: PanelProps): JSX.Element {
  const root = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    if (isOpen) root.current?.scrollIntoView({ block: 'nearest' });
  }, [isOpen]);
  return (
    <details class="experts" ref={root} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Experts</summary>
      {isOpen && <ExpertMap routing={routing} token={token} />}
    </details>
  );
}

function ExpertMap({ routing, token }: MapProps): JSX.Element {
  const heat = useMemo(() => heatOf(routing), [routing.ids]);
  const levels = useMemo(() => levelsOf(heat), [heat]);
  const [cell, setCell] = useState<Cell | null>(null);
  const choices = token === null ? null : choicesAt(routing, token);
  const summary = summaryOf(heat);

  const move = (next: Cell): void => {
    setCell(next);
    announce(cellText(heat, next.layer, next.expert));
  };
  const help = 'Point at a token or at a place of the map, or use its arrow keys.';
  const ofToken = choices && 'Marked: the experts of this token.';
  return (
    <div class="experts-body">
      <p>{summary}</p>
      <div class="experts-frame">
        <span class="experts-rows" aria-hidden="true">
          <span>layer 1</span>
          {heat.layers > 1 && <span>{heat.layers}</span>}
        </span>
        <div
          class="experts-map"
          role="application"
          aria-label="Map of experts: arrow keys go through it"
          tabIndex={0}
          onKeyDown={(event) => {
            const next = cellByKey(heat, cell, event);
            if (!next) return;
            event.preventDefault();
            move(next);
          }}
          onFocus={(event) => {
            if (event.currentTarget.matches(':focus-visible')) move({ layer: 0, expert: 0 });
          }}
          onBlur={() => setCell(null)}
          onPointerMove={(event) => setCell(cellAt(heat, event))}
          onPointerDown={(event) => setCell(cellAt(heat, event))}
          onPointerLeave={({ pointerType }) => {
            if (pointerType === 'mouse') setCell(null); // a finger leaves where it lifts
          }}
        >
          <ExpertCells
            shape={heat}
            levels={levels}
            rowPx={[24, 4]}
            class={choices ? 'has-marks' : ''}
            label={`Layers by experts. ${summary}`}
          >
            {choices && <path class="marks" d={marksOf(heat, choices, 1)} />}
            {choices && <path class="marks is-first" d={marksOf(heat, choices, 0, 1)} />}
            {cell && <path class="place" d={placeOf(cell)} />}
          </ExpertCells>
          <span class="experts-columns" aria-hidden="true">
            <span>expert 0</span>
            <span>{heat.experts - 1}</span>
          </span>
        </div>
      </div>
      <p class="hint">{cell ? cellText(heat, cell.layer, cell.expert) : (ofToken ?? help)}</p>
      <Legend />
    </div>
  );
}

function Legend(): JSX.Element {
  return (
    <div class="experts-legend">
      <span>Times the even share:</span>
      <ul aria-label="Colours: times the even share">
        {LEVEL_NAMES.map((name, level) => (
          <li key={name}>
            <svg viewBox="0 0 1 1" aria-hidden="true">
              <path class={`heat-${level}`} d="M0 0h1v1h-1z" />
            </svg>
            {name}
          </li>
        ))}
      </ul>
    </div>
  );
}

function cellByKey(heat: Heat, from: Cell | null, event: KeyboardEvent): Cell | null {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return null;
  const { layer, expert } = from ?? { layer: 0, expert: 0 };
  const moves: Record<string, Cell> = {
    ArrowLeft: { layer, expert: expert - 1 },
    ArrowRight: { layer, expert: expert + 1 },
    ArrowUp: { layer: layer - 1, expert },
    ArrowDown: { layer: layer + 1, expert },
    Home: { layer, expert: 0 },
    End: { layer, expert: heat.experts - 1 },
  };
  const to = moves[event.key];
  return to ? within(heat, to) : null;
}

function within({ layers, experts }: Heat, { layer, expert }: Cell): Cell {
  return {
    layer: Math.min(layers - 1, Math.max(0, layer)),
    expert: Math.min(experts - 1, Math.max(0, expert)),
  };
}

function cellAt(heat: Heat, event: PointerEvent & { currentTarget: Element }): Cell | null {
  const box = event.currentTarget.querySelector('svg')?.getBoundingClientRect();
  if (!box || event.clientY > box.bottom) return null;
  return within(heat, {
    layer: Math.floor(((event.clientY - box.top) / box.height) * heat.layers),
    expert: Math.floor(((event.clientX - box.left) / box.width) * heat.experts),
  });
}

const square = (x: number, y: number, size: number): string =>
  `M${x} ${y}h${size}v${size}h-${size}z`;

/** Of the choices from one rank up to another. */
function marksOf(heat: Heat, choices: number[][], from: number, to?: number): string {
  const size = isSpaced(heat) ? CELL - 1 : CELL;
  return choices
    .flatMap((ids, layer) => ids.slice(from, to).map((id) => square(id * CELL, layer * CELL, size)))
    .join('');
}

const placeOf = ({ layer, expert }: Cell): string => square(expert * CELL, layer * CELL, CELL);
