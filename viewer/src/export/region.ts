/** A region at a magnification of one's choice as one picture, put together from final, lossless tiles. */

import { fetchFinal, type Slide } from "../api.js";
import { type Adjustment, adjustPixels, isNeutral } from "../adjust/stains.js";
import type { Feature } from "../annotate/feature.js";
import type { Connection } from "../connection.js";
import { l0PerLevelPx, type L0Rect, type TileAddress, tilesMeeting, type Position } from "../geometry.js";
import { BASE_MAGNIFICATION } from "../magnification.js";
import { burnIn, drawMarks, drawWords, type Frame } from "./burn.js";
import { pngOf } from "./snapshot.js";

/** Browsers make no canvas of more than about 16,000 px a side; this many pixels take 200 MB. */
export const MOST_PIXELS = 48e6;
const MOST_SIDE = 16_000;
const REQUESTS = 4;

export interface RegionOptions {
  readonly slide: Slide;
  readonly area: L0Rect;
  readonly level: number;
  readonly adjustment: Adjustment;
  readonly features: readonly Feature[];
  readonly connection: Connection;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, all: number) => void;
}

/** Size in pixels of an area at a level, cut to the slide. */
export function regionSize(
  slide: Slide,
  area: L0Rect,
  level: number,
): { width: number; height: number; fits: boolean; tiles: number } {
  const cut = cutToSlide(slide, area);
  const { width, height } = cut;
  const px = l0PerLevelPx(slide, level);
  const size = { width: Math.max(1, Math.round(width / px)), height: Math.max(1, Math.round(height / px)) };
  const side = px * slide.tile_size;
  const across = (from: number, length: number): number =>
    length > 0 ? Math.ceil((from + length) / side) - Math.floor(from / side) : 0;
  const tiles = across(cut.x, width) * across(cut.y, height);
  return {
    ...size,
    tiles,
    fits: Math.max(size.width, size.height) <= MOST_SIDE && size.width * size.height <= MOST_PIXELS,
  };
}

export function cutToSlide(slide: Slide, area: L0Rect): L0Rect {
  const left = Math.max(0, area.x);
  const top = Math.max(0, area.y);
  const right = Math.min(slide.width, area.x + area.width);
  const bottom = Math.min(slide.height, area.y + area.height);
  return { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
}

/** Throws an AbortError when given up, a ServerError where a tile is refused, an Error where the region is too large. */
export async function exportRegion(options: RegionOptions): Promise<Blob> {
  const { slide, level } = options;
  const area = cutToSlide(slide, options.area);
  const { width, height, fits } = regionSize(slide, area, level);
  if (!fits) throw new Error("The region is too large at this magnification: choose a smaller one.");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D;
  await drawTiles(context, area, options);
  if (!isNeutral(options.adjustment)) {
    const pixels = context.getImageData(0, 0, width, height);
    adjustPixels(pixels.data, options.adjustment);
    context.putImageData(pixels, 0, 0);
  }
  const px = l0PerLevelPx(slide, level);
  const frame: Frame = { context, width, height, ratio: 1 };
  const toPx = ([x, y]: Position): Position => [(x - area.x) / px, (y - area.y) / px];
  drawMarks(frame, options.features, toPx);
  drawWords(frame, options.features, toPx, 0);
  const magnification = BASE_MAGNIFICATION / px;
  burnIn(frame, slide, { x: area.x + area.width / 2, y: area.y + area.height / 2, magnification, rotation: 0 });
  return pngOf(canvas);
}

async function drawTiles(context: CanvasRenderingContext2D, area: L0Rect, options: RegionOptions): Promise<void> {
  const { slide, level, connection, signal, onProgress } = options;
  const lossless: Slide = { ...slide, tiles: slide.tiles.replace(/\.\w+$/, ".png") };
  const px = l0PerLevelPx(slide, level);
  const tiles = tilesMeeting(slide, level, area);
  let done = 0;
  const draw = async (tile: TileAddress): Promise<void> => {
    const { blob } = await connection.insist(() => fetchFinal(lossless, tile, signal), signal);
    const picture = await createImageBitmap(blob);
    context.drawImage(picture, tile.col * slide.tile_size - area.x / px, tile.row * slide.tile_size - area.y / px);
    picture.close();
    onProgress((done += 1), tiles.length);
  };
  onProgress(0, tiles.length);
  const waiting = tiles.values();
  const worker = async (): Promise<void> => {
    for (const tile of waiting) {
      signal.throwIfAborted();
      await draw(tile);
    }
  };
  await Promise.all(Array.from({ length: REQUESTS }, worker));
}
