/** What is written beside an annotation, and which of its places the words belong to. */

import type { Position } from "../geometry.js";
import { type Feature, labelOf } from "./feature.js";
import { type Geometry, measureWords, partsOf, positionsOf } from "./shapes.js";

/** "Gland: 0.42 mm², 2.6 mm around". */
export function wordsOf(feature: Feature): string {
  return [labelOf(feature), measureWords(feature.geometry)].filter(Boolean).join(": ");
}

/** Words belong to a line's end and at the corner of a shape that is highest on an unturned screen. */
export function wordsPlace(geometry: Geometry, rotation: number): Position {
  const positions = positionsOf(geometry);
  if (partsOf(geometry).lines.length > 0) return positions.at(-1) ?? [0, 0];
  const turn = (rotation * Math.PI) / 180;
  const height = ([x, y]: Position): number => x * Math.sin(turn) + y * Math.cos(turn);
  return positions.reduce((best, position) => (height(position) < height(best) ? position : best));
}
