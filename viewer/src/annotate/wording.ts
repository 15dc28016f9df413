/** Where the words of annotations stand: within the frame, and not over each other. Pure arithmetic, in CSS pixels. */

import type { Position } from "../geometry.js";

/** Words beside a place on the screen. must: they are shown even where there is no room for them. */
export interface Words {
  readonly at: Position;
  readonly width: number;
  readonly must: boolean;
}

export interface FrameSize {
  readonly width: number;
  readonly height: number;
}

/** Of a line of words: how far it reaches above and below its baseline. */
const ABOVE_PX = 13;
const BELOW_PX = 4;
const LINE_PX = ABOVE_PX + BELOW_PX;
/** Between words and the place they belong to, and the edge of the frame. */
const APART_PX = 8;
const EDGE_PX = 4;
/** Lines farther up and down that are tried where the nearest are taken. */
const FARTHEST = 3;

/**
 * The left end of the baseline of each, in the order given; null where there is no room. The first come first served, but
 * those that must be shown before all others.
 */
export function placeWords(all: readonly Words[], frame: FrameSize): (Position | null)[] {
  const taken = new Taken();
  const places = all.map((): Position | null => null);
  for (const must of [true, false]) {
    for (const [index, words] of all.entries()) {
      if (words.must !== must) continue;
      const tried = candidates(words).map((place) => inside(place, words.width, frame));
      const place = tried.find((free) => !taken.meets(free, words.width)) ?? (must ? tried[0] : undefined);
      if (!place) continue;
      taken.add(place, words.width);
      places[index] = place;
    }
  }
  return places;
}

/** How wide words may be, to lie within the frame. */
export function roomFor({ width }: FrameSize): number {
  return Math.max(0, width - 2 * EDGE_PX);
}

/** The words, or the most of them that `room` holds, with an ellipsis. widthOf: of a text, in CSS pixels. */
export function clipped(words: string, room: number, widthOf: (text: string) => number): string {
  if (widthOf(words) <= room) return words;
  const letters = [...words];
  const begun = (count: number): string => `${letters.slice(0, count).join("").trimEnd()}…`;
  let [fits, over] = [0, letters.length];
  while (over - fits > 1) {
    const middle = (fits + over) >> 1;
    if (widthOf(begun(middle)) <= room) fits = middle;
    else over = middle;
  }
  return begun(fits);
}

/** Above to the right, then the other sides, then farther off. */
function candidates({ at: [x, y], width }: Words): Position[] {
  const [right, left] = [x + APART_PX, x - APART_PX - width];
  const lines = Array.from({ length: FARTHEST }, (_, n) => [y - APART_PX - n * LINE_PX, y + ABOVE_PX + n * LINE_PX]);
  return lines.flat().flatMap((line): Position[] => [
    [right, line],
    [left, line],
  ]);
}

function inside([x, y]: Position, width: number, frame: FrameSize): Position {
  return [
    Math.max(EDGE_PX, Math.min(x, frame.width - EDGE_PX - width)),
    Math.max(EDGE_PX + ABOVE_PX, Math.min(y, frame.height - EDGE_PX - BELOW_PX)),
  ];
}

/** Words that stand already, by the line they stand in: thousands of them are looked through quickly. */
class Taken {
  readonly #lines = new Map<number, (readonly [left: number, right: number, y: number])[]>();

  add([x, y]: Position, width: number): void {
    const line = Math.floor(y / LINE_PX);
    const words = this.#lines.get(line) ?? [];
    words.push([x, x + width, y]);
    this.#lines.set(line, words);
  }

  meets([x, y]: Position, width: number): boolean {
    const line = Math.floor(y / LINE_PX);
    return [line - 1, line, line + 1].some((near) =>
      this.#lines
        .get(near)
        ?.some(([left, right, other]) => Math.abs(other - y) < LINE_PX && left < x + width && x < right),
    );
  }
}
