/** The picture on the screen as a file: what is seen, with its adjustment and annotations, and what every export carries. */

import type { Position } from "../geometry.js";
import { type Adjustment, adjustPixels, isNeutral } from "../adjust/stains.js";
import type { Feature } from "../annotate/feature.js";
import type { Pane } from "../pane.js";
import { burnIn, drawMarks, drawWords, type Frame } from "./burn.js";

export interface SnapshotOptions {
  /** The panes in sight, the main one first. */
  readonly panes: readonly Pane[];
  /** The element that holds them all. */
  readonly frame: HTMLElement;
  readonly adjustment: Adjustment;
  readonly features: readonly Feature[];
  readonly labels: boolean;
}

/** Throws an Error whose message is for people. */
export async function snapshot(options: SnapshotOptions): Promise<Blob> {
  const [main] = options.panes;
  const view = main?.stage.view(false);
  const slide = main?.stage.slide;
  if (!main || !view || !slide) throw new Error("No slide is open.");
  const box = options.frame.getBoundingClientRect();
  const ratio = devicePixelRatio;
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  const context = canvas.getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D;
  const frame: Frame = { context, width: canvas.width, height: canvas.height, ratio };
  context.fillStyle = "#f3f2f3";
  context.fillRect(0, 0, canvas.width, canvas.height);
  for (const pane of options.panes) drawPane(frame, pane, box);
  if (!isNeutral(options.adjustment)) adjust(frame, options.adjustment);
  drawFeatures(frame, main, box, options);
  burnIn(frame, slide, view);
  return pngOf(canvas);
}

function drawPane({ context, ratio }: Frame, pane: Pane, frame: DOMRect): void {
  const { viewer } = pane.stage;
  const box = viewer.element.getBoundingClientRect();
  const clip = getComputedStyle(viewer.element.parentElement as Element).clipPath;
  const hidden = /inset\(0(?:px)? 0(?:px)? 0(?:px)? ([\d.]+)%\)/.exec(clip)?.[1] ?? "0";
  const left = (box.width * Number(hidden)) / 100;
  context.save();
  context.beginPath();
  context.rect(
    (box.x - frame.x + left) * ratio,
    (box.y - frame.y) * ratio,
    (box.width - left) * ratio,
    box.height * ratio,
  );
  context.clip();
  const picture = (viewer.drawer as unknown as { canvas: HTMLCanvasElement }).canvas;
  const size = [box.width * ratio, box.height * ratio] as const;
  context.drawImage(picture, (box.x - frame.x) * ratio, (box.y - frame.y) * ratio, ...size);
  context.restore();
}

function adjust({ context, width, height }: Frame, adjustment: Adjustment): void {
  const pixels = context.getImageData(0, 0, width, height);
  adjustPixels(pixels.data, adjustment);
  context.putImageData(pixels, 0, 0);
}

function drawFeatures(frame: Frame, main: Pane, box: DOMRect, { features, labels }: SnapshotOptions): void {
  const projection = main.stage.projection();
  if (!projection) return;
  const place = main.stage.viewer.element.getBoundingClientRect();
  const toPx = (at: Position): Position => {
    const [x, y] = projection.toScreen(at);
    return [(x + place.x - box.x) * frame.ratio, (y + place.y - box.y) * frame.ratio];
  };
  drawMarks(frame, features, toPx);
  if (labels) drawWords(frame, features, toPx, projection.rotation);
}

export function pngOf(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The browser cannot make so large a picture."))));
  });
}
