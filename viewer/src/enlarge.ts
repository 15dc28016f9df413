/** A tile's preview, enlarged in the browser from a painted ancestor: as sharp as can be, and nobody is asked for it. */

import { type Extent, gridOf, isAncestor, l0PerLevelPx, type TileAddress } from "./geometry.js";

/** A painted tile above another one. */
export interface Ancestor {
  readonly tile: TileAddress;
  readonly picture: ImageBitmap;
}

/** Where a tile lies in its ancestor's picture: its corner, its size, and how many of its pixels one of them becomes. */
export interface Part {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly factor: number;
}

/** Pixels of a tile's picture: less than whole at the slide's right and lower edges. */
export function pictureSize(slide: Extent, tile: TileAddress): { width: number; height: number } {
  const { cols, rows } = gridOf(slide, tile.level);
  const rest = (extent: number, last: boolean, before: number): number =>
    last ? Math.ceil(extent / l0PerLevelPx(slide, tile.level)) - before * slide.tile_size : slide.tile_size;
  return {
    width: rest(slide.width, tile.col === cols - 1, tile.col),
    height: rest(slide.height, tile.row === rows - 1, tile.row),
  };
}

/** The part of an ancestor's picture that a tile covers. Throws RangeError where it is no ancestor. */
export function partOf(slide: Extent, ancestor: TileAddress, tile: TileAddress): Part {
  if (!isAncestor(ancestor, tile)) throw new RangeError("expected an ancestor of the tile");
  const factor = 2 ** (tile.level - ancestor.level);
  const side = slide.tile_size / factor;
  const { width, height } = pictureSize(slide, tile);
  return {
    x: (tile.col - ancestor.col * factor) * side,
    y: (tile.row - ancestor.row * factor) * side,
    width: width / factor,
    height: height / factor,
    factor,
  };
}

/** The preview of a tile. A pixel more of the ancestor on every side lets neighbouring previews run into each other. */
export function enlarge(
  slide: Extent,
  { tile: above, picture }: Ancestor,
  tile: TileAddress,
): CanvasRenderingContext2D {
  const part = partOf(slide, above, tile);
  const canvas = document.createElement("canvas");
  canvas.width = part.width * part.factor;
  canvas.height = part.height * part.factor;
  const context = canvas.getContext("2d", { alpha: false }) as CanvasRenderingContext2D;
  const left = Math.max(0, part.x - 1);
  const top = Math.max(0, part.y - 1);
  const width = Math.min(picture.width, part.x + part.width + 1) - left;
  const height = Math.min(picture.height, part.y + part.height + 1) - top;
  const [x, y] = [(left - part.x) * part.factor, (top - part.y) * part.factor];
  context.drawImage(picture, left, top, width, height, x, y, width * part.factor, height * part.factor);
  return context;
}
