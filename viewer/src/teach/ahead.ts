/** Has everything painted that a tour will show, so that nobody waits in front of a class. */

import { fetchFinal, type Slide } from "../api.js";
import type { Connection } from "../connection.js";
import { levelAt, MIN_PIXEL_RATIO, type TileAddress, tileKey, tilesMeeting } from "../geometry.js";
import { BASE_MAGNIFICATION } from "../magnification.js";
import type { View } from "../permalink.js";

const REQUESTS = 2;

/** Size of the screen on which the tour will be shown, in CSS pixels, and its device pixels per CSS pixel. */
export interface Screen {
  readonly width: number;
  readonly height: number;
  readonly ratio: number;
}

/** The tiles that a screen shows at each stop, stop by stop, none twice. */
export function tilesOfStops(slide: Slide, stops: readonly View[], screen: Screen): TileAddress[] {
  const found = new Map<string, TileAddress>();
  for (const { x, y, magnification, rotation } of stops) {
    const scale = magnification / BASE_MAGNIFICATION;
    const turn = (rotation * Math.PI) / 180;
    const [cos, sin] = [Math.abs(Math.cos(turn)), Math.abs(Math.sin(turn))];
    const width = (screen.width * cos + screen.height * sin) / scale;
    const height = (screen.width * sin + screen.height * cos) / scale;
    const level = levelAt(slide, scale * screen.ratio, MIN_PIXEL_RATIO);
    for (const tile of tilesMeeting(slide, level, { x: x - width / 2, y: y - height / 2, width, height })) {
      found.set(tileKey(tile), tile);
    }
  }
  return [...found.values()];
}

export interface AheadOptions {
  readonly slide: Slide;
  readonly tiles: readonly TileAddress[];
  readonly connection: Connection;
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, all: number) => void;
}

/** Throws an AbortError when given up. */
export async function paintAhead({ slide, tiles, connection, signal, onProgress }: AheadOptions): Promise<void> {
  let done = 0;
  onProgress(0, tiles.length);
  const waiting = tiles.values();
  const worker = async (): Promise<void> => {
    for (const tile of waiting) {
      signal.throwIfAborted();
      await connection.insist(() => fetchFinal(slide, tile, signal), signal);
      onProgress((done += 1), tiles.length);
    }
  };
  await Promise.all(Array.from({ length: REQUESTS }, worker));
}
