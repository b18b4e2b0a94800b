// A picture of experts: a row for each layer, a column for each expert, a colour for each strength.
import type { ComponentChildren, JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import type { ExpertShape } from '../model/routing';
import { CELL, isSpaced, pathsOf } from '../text/experts';

interface ExpertCellsProps {
  shape: ExpertShape;
  levels: Uint8Array;
  /** Of a row, where there are few layers and where there are many. */
  rowPx: [number, number];
  columnPx?: number;
  class?: string;
  children?: ComponentChildren;
  /** None hides the picture from screen readers. */
  label?: string;
}

const FEW_LAYERS = 8;

export function ExpertCells(props: ExpertCellsProps): JSX.Element {
  const { shape, levels, rowPx, columnPx, label } = props;
  const { layers, experts } = shape;
  const paths = useMemo(() => pathsOf(shape, levels), [layers, experts, levels]);
  return (
    <svg
      class={`expert-cells${isSpaced(shape) ? '' : ' is-dense'} ${props.class ?? ''}`}
      viewBox={`0 0 ${experts * CELL} ${layers * CELL}`}
      preserveAspectRatio="none"
      width={columnPx ? columnPx * experts : '100%'}
      height={layers * rowPx[layers <= FEW_LAYERS ? 0 : 1]}
      role={label ? 'img' : undefined}
      aria-label={label}
      aria-hidden={label ? undefined : 'true'}
    >
      {paths.map((path, level) => (
        <path key={level} class={`heat-${level}`} d={path} />
      ))}
      {props.children}
    </svg>
  );
}
