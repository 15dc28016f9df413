/** One place across all eight magnifications, coarse to fine: what the model adds at each octave. */

import { fetchFinal, fetchPreview, isAbort, type Slide } from "../api.js";
import type { Connection } from "../connection.js";
import { make } from "../dom.js";
import { l0PerLevelPx, type TileAddress, type Position } from "../geometry.js";
import { BASE_MAGNIFICATION, magnificationLabel } from "../magnification.js";

const SIDE_PX = 128;

export class Strip {
  readonly element = make("ol", { class: "strip", "aria-label": "This place at every magnification" });
  #asking = new AbortController();

  /** Shows a place, coarse pictures first. */
  async show(slide: Slide, at: Position, connection: Connection): Promise<void> {
    this.#asking.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    const levels = Array.from({ length: 8 }, (_, n) => slide.max_level - 7 + n).filter(
      (level) => level >= slide.min_level,
    );
    const rows = levels.map((level) => {
      const canvas = make("canvas", { width: SIDE_PX, height: SIDE_PX });
      const label = magnificationLabel(BASE_MAGNIFICATION / 2 ** (slide.max_level - level));
      return { level, canvas, item: make("li", { "data-state": "waiting" }, canvas, make("span", {}, label)) };
    });
    this.element.replaceChildren(...rows.map(({ item }) => item));
    try {
      for (const { level, canvas, item } of rows) {
        for (const fetchIt of [fetchPreview, fetchFinal]) {
          const { tile, left, top } = cutAt(slide, level, at);
          const answer = await connection.insist(() => fetchIt(slide, tile, signal), signal);
          const picture = await createImageBitmap(answer.blob);
          canvas.getContext("2d")?.drawImage(picture, left, top, SIDE_PX, SIDE_PX, 0, 0, SIDE_PX, SIDE_PX);
          picture.close();
          item.dataset["state"] = answer.final ? "final" : "preview";
          if (answer.final) break;
        }
      }
    } catch (error) {
      if (!isAbort(error)) this.element.append(make("li", { class: "hint" }, (error as Error).message));
    }
  }
}

/** The tile that holds a place, and the part of it to show: about the place, but within the tile. */
export function cutAt(slide: Slide, level: number, [x, y]: Position): { tile: TileAddress; left: number; top: number } {
  const px = l0PerLevelPx(slide, level);
  const side = slide.tile_size;
  const within = (position: number, size: number): { index: number; start: number } => {
    const at = Math.min(Math.max(position, 0), size - 1) / px;
    const index = Math.floor(at / side);
    const start = Math.min(Math.max(at - index * side - SIDE_PX / 2, 0), side - SIDE_PX);
    return { index, start };
  };
  const [col, row] = [within(x, slide.width), within(y, slide.height)];
  return { tile: { level, col: col.index, row: row.index }, left: col.start, top: row.start };
}
