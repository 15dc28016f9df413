/** What every exported picture carries inside: the scale bar, the badge, and where it comes from. */

import type { Position } from "../geometry.js";
import type { Provenance } from "../api.js";
import { colorOf, cssColor, type Feature } from "../annotate/feature.js";
import { partsOf, positionsOf } from "../annotate/shapes.js";
import { clipped, type FrameSize, placeWords, roomFor } from "../annotate/wording.js";
import { wordsOf, wordsPlace } from "../annotate/words.js";
import { magnificationLabel, umPerPxLabel } from "../magnification.js";
import { organWords } from "../organ.js";
import { samplingWords } from "../sampling.js";
import type { View } from "../permalink.js";
import { scaleBar } from "../scalebar.js";

export const BADGE = "SYNTHETIC - not for diagnosis";
const FONT = "system-ui, 'Noto Sans', 'DejaVu Sans', sans-serif";
const WIDEST_BAR = 180;
const FOOT_PX = 44;
/** Shapes no farther than this out of the picture have their words in it. */
const REACH_PX = 40;

/** A picture to be marked. `ratio`: its pixels per CSS pixel. */
export interface Frame {
  readonly context: CanvasRenderingContext2D;
  readonly width: number;
  readonly height: number;
  readonly ratio: number;
}

/** Draws badge, scale bar and origin over the picture. */
export function burnIn(frame: Frame, slide: Provenance, view: View): void {
  const { context, width, height, ratio } = frame;
  context.save();
  context.scale(ratio, ratio);
  const [right, bottom] = [width / ratio, height / ratio];
  drawBadge(context, right);
  drawFoot(context, right, bottom, slide, view);
  context.restore();
}

function drawBadge(context: CanvasRenderingContext2D, right: number): void {
  const size = Math.min(15, Math.max(8, right / 24));
  context.font = `650 ${size}px ${FONT}`;
  context.textBaseline = "middle";
  const width = context.measureText(BADGE).width + 2 * size;
  const height = 2 * size;
  context.beginPath();
  context.roundRect(right - width - 10, 10, width, height, height / 2);
  context.fillStyle = "#ffe1a8";
  context.fill();
  context.strokeStyle = "#d99a2b";
  context.stroke();
  context.fillStyle = "#4d2f00";
  context.fillText(BADGE, right - width - 10 + size, 10 + height / 2);
}

function drawFoot(
  context: CanvasRenderingContext2D,
  right: number,
  bottom: number,
  slide: Provenance,
  view: View,
): void {
  const bar = scaleBar(view.magnification, Math.min(WIDEST_BAR, right * 0.4));
  const place = `${magnificationLabel(view.magnification)}, ${umPerPxLabel(view.magnification)}`;
  const painter = `model ${slide.model}, seed ${slide.seed}${samplingWords(slide)}${organWords(slide)}`;
  const origin = `Everslide ${slide.id}, ${painter}, ${slide.fingerprint.slice(0, 12)}`;
  const where = `${place} at ${Math.round(view.x)}, ${Math.round(view.y)}`;
  context.fillStyle = "rgb(255 255 255 / 86%)";
  context.fillRect(0, bottom - FOOT_PX, right, FOOT_PX);
  context.fillStyle = "#2a2433";
  context.font = `600 12px ${FONT}`;
  context.textBaseline = "alphabetic";
  context.fillText(bar.label, 12, bottom - 26);
  context.fillRect(12, bottom - 14, bar.widthPx, 3);
  context.fillRect(12, bottom - 20, 2, 9);
  context.fillRect(12 + bar.widthPx - 2, bottom - 20, 2, 9);
  const left = 12 + Math.max(bar.widthPx, 70) + 18;
  context.font = `12px ${FONT}`;
  context.fillText(where, left, bottom - 26, Math.max(right - left - 10, 1));
  context.font = `11px ${FONT}`;
  context.fillText(origin, left, bottom - 10, Math.max(right - left - 10, 1));
}

/** Draws annotations. toPx: 20x pixels -> pixels of the picture. */
export function drawMarks(
  { context, ratio }: Frame,
  features: readonly Feature[],
  toPx: (at: Position) => Position,
): void {
  context.save();
  context.lineJoin = "round";
  for (const feature of features) {
    const { points, lines, polygons } = partsOf(feature.geometry);
    context.beginPath();
    for (const line of [...lines, ...polygons.flat()]) {
      line.forEach((at, index) => (index === 0 ? context.moveTo(...toPx(at)) : context.lineTo(...toPx(at))));
    }
    for (const [x, y] of points.map(toPx)) {
      context.moveTo(x + 6 * ratio, y);
      context.arc(x, y, 6 * ratio, 0, 2 * Math.PI);
    }
    for (const [style, width] of [
      ["rgb(255 255 255 / 80%)", 4],
      [cssColor(colorOf(feature)), 2],
    ] as const) {
      context.strokeStyle = style;
      context.lineWidth = width * ratio;
      context.stroke();
    }
  }
  context.restore();
}

/** Writes what annotations are called where the page would, but above the foot. rotation: of the picture, in degrees. */
export function drawWords(
  { context, width, height, ratio }: Frame,
  features: readonly Feature[],
  toPx: (at: Position) => Position,
  rotation: number,
): void {
  context.save();
  context.scale(ratio, ratio);
  context.font = `600 12.5px ${FONT}`;
  context.textBaseline = "alphabetic";
  context.lineJoin = "round";
  const frame = { width: width / ratio, height: height / ratio - FOOT_PX };
  const toCssPx = (at: Position): Position => {
    const [x, y] = toPx(at);
    return [x / ratio, y / ratio];
  };
  const widthOf = (text: string): number => context.measureText(text).width;
  const all = features
    .filter(({ geometry }) => isNear(positionsOf(geometry).map(toCssPx), frame))
    .map((feature) => ({
      text: clipped(wordsOf(feature), roomFor(frame), widthOf),
      at: toCssPx(wordsPlace(feature.geometry, rotation)),
    }));
  const places = placeWords(
    all.map(({ text, at }) => ({ at, width: widthOf(text), must: false })),
    frame,
  );
  for (const [index, { text }] of all.entries()) {
    const place = places[index];
    if (!place) continue;
    context.strokeStyle = "rgb(255 255 255 / 90%)";
    context.lineWidth = 3.5;
    context.strokeText(text, ...place);
    context.fillStyle = "#2a2433";
    context.fillText(text, ...place);
  }
  context.restore();
}

/** Whether a shape of these corners reaches into the frame, or nearly. */
function isNear(corners: readonly Position[], { width, height }: FrameSize): boolean {
  const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
  const meets = (values: readonly number[], size: number): boolean =>
    values.some((value) => value < size + REACH_PX) && values.some((value) => value > -REACH_PX);
  return meets(xs, width) && meets(ys, height);
}
