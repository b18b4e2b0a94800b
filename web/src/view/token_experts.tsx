// In a token's card: its experts as a picture, and in words.
import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import type { ExpertShape } from '../model/routing';
import { isSpaced, levelsOfToken, tokenText } from '../text/experts';
import { ExpertCells } from './expert_cells';

const WIDTH_PX = 240;
const COLUMN_PX_MIN = 2;

interface TokenExpertsProps {
  shape: ExpertShape;
  choices: number[][] | null;
  isMapShown: boolean;
}

export function TokenExperts(props: TokenExpertsProps): JSX.Element | null {
  const { shape, choices, isMapShown } = props;
  // A picture of many experts would hide the map, which shows the same.
  const isDrawn = isSpaced(shape) || !isMapShown;
  const levels = useMemo(() => choices && levelsOfToken(shape, choices), [String(choices)]);
  if (!choices || !levels) return null;
  return (
    <div class="token-experts">
      {isDrawn && (
        <ExpertCells
          shape={shape}
          levels={levels}
          rowPx={[14, 3]}
          columnPx={Math.max(COLUMN_PX_MIN, Math.floor(WIDTH_PX / shape.experts))}
        />
      )}
      {tokenText(shape, choices).map((line) => (
        <p key={line}>{line}</p>
      ))}
    </div>
  );
}
