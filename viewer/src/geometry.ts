/**
 * Tiles of a slide as Deep Zoom addresses. Pure arithmetic, exact up to 2^53 px.
 *
 * Names carry their plane: `l0` is a pixel of 20x (0.5 um/px), `level` a Deep Zoom level, whose finest is `max_level`.
 */

/** A level is drawn while one of its pixels covers at least this many device pixels. */
export const MIN_PIXEL_RATIO = 0.7;

/** What the arithmetic needs to know of a slide; sizes in 20x pixels. */
export interface Extent {
  readonly width: number;
  readonly height: number;
  readonly tile_size: number;
  readonly min_level: number;
  readonly max_level: number;
  readonly root_level: number;
}

/** One tile. */
export interface TileAddress {
  readonly level: number;
  readonly col: number;
  readonly row: number;
}

/** x, y in 20x pixels. */
export type Position = readonly [number, number];

/** Rectangle in 20x pixels; x, y is its top-left corner. */
export interface L0Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** The address as a map key, unique within a slide. */
export function tileKey(tile: TileAddress): string {
  return `${tile.level}/${tile.col}_${tile.row}`;
}

/** 20x pixels per pixel of a level: 1 at the finest. */
export function l0PerLevelPx(slide: Extent, level: number): number {
  return 2 ** (slide.max_level - level);
}

/** Columns and rows of a level. */
export function gridOf(slide: Extent, level: number): { cols: number; rows: number } {
  const l0PerTile = slide.tile_size * l0PerLevelPx(slide, level);
  return { cols: Math.ceil(slide.width / l0PerTile), rows: Math.ceil(slide.height / l0PerTile) };
}

/** The area of a tile, whole also where it reaches across the slide's edge. */
export function tileRect(slide: Extent, tile: TileAddress): L0Rect {
  const l0PerTile = slide.tile_size * l0PerLevelPx(slide, tile.level);
  return { x: tile.col * l0PerTile, y: tile.row * l0PerTile, width: l0PerTile, height: l0PerTile };
}

/** Whether two rectangles share an area. */
export function meets(a: L0Rect, b: L0Rect): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

/** A view that may be turned: x, y is its middle; width and height are as on the screen, in 20x pixels. */
export interface Frame extends L0Rect {
  /** Degrees by which the slide is turned clockwise on the screen. */
  readonly rotation: number;
}

/** Whether a rectangle shares an area with a turned view: no line along a side of either lies between them. */
export function meetsFrame(rect: L0Rect, frame: Frame): boolean {
  const turn = (frame.rotation * Math.PI) / 180;
  const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
  const right = rect.x + rect.width / 2 - frame.x;
  const down = rect.y + rect.height / 2 - frame.y;
  const reach = (a: number, b: number): number => (a * Math.abs(cos) + b * Math.abs(sin)) / 2;
  return (
    Math.abs(right) < rect.width / 2 + reach(frame.width, frame.height) &&
    Math.abs(down) < rect.height / 2 + reach(frame.height, frame.width) &&
    Math.abs(right * cos - down * sin) < frame.width / 2 + reach(rect.width, rect.height) &&
    Math.abs(right * sin + down * cos) < frame.height / 2 + reach(rect.height, rect.width)
  );
}

/** The tiles of a level that meet `view`, row by row. */
export function tilesMeeting(slide: Extent, level: number, view: L0Rect): TileAddress[] {
  const l0PerTile = slide.tile_size * l0PerLevelPx(slide, level);
  const { cols, rows } = gridOf(slide, level);
  const firstCol = Math.max(0, Math.floor(view.x / l0PerTile));
  const lastCol = Math.min(cols, Math.ceil((view.x + view.width) / l0PerTile)) - 1;
  const firstRow = Math.max(0, Math.floor(view.y / l0PerTile));
  const lastRow = Math.min(rows, Math.ceil((view.y + view.height) / l0PerTile)) - 1;
  const tiles: TileAddress[] = [];
  for (let row = firstRow; row <= lastRow; row++) {
    for (let col = firstCol; col <= lastCol; col++) tiles.push({ level, col, row });
  }
  return tiles;
}

/** The tile of a level that holds a 20x pixel, or null beyond the slide. */
export function tileAt(slide: Extent, level: number, x: number, y: number): TileAddress | null {
  const l0PerTile = slide.tile_size * l0PerLevelPx(slide, level);
  const inside = x >= 0 && y >= 0 && x < slide.width && y < slide.height;
  return inside ? { level, col: Math.floor(x / l0PerTile), row: Math.floor(y / l0PerTile) } : null;
}

/** The tile one level coarser that holds this one. */
export function parentOf(tile: TileAddress): TileAddress {
  return { level: tile.level - 1, col: Math.floor(tile.col / 2), row: Math.floor(tile.row / 2) };
}

/** Whether `coarse` is an ancestor of `fine`. */
export function isAncestor(coarse: TileAddress, fine: TileAddress): boolean {
  const factor = 2 ** (fine.level - coarse.level);
  return (
    coarse.level < fine.level &&
    Math.floor(fine.col / factor) === coarse.col &&
    Math.floor(fine.row / factor) === coarse.row
  );
}

/**
 * The level that OpenSeadragon draws: the finest one of which a pixel covers at least `minPixelRatio` device pixels.
 *
 * devicePxPerL0Px: how many device pixels one 20x pixel covers at this zoom.
 */
export function levelAt(slide: Extent, devicePxPerL0Px: number, minPixelRatio: number): number {
  for (let level = slide.max_level; level > slide.min_level; level--) {
    if (devicePxPerL0Px * l0PerLevelPx(slide, level) >= minPixelRatio) return level;
  }
  return slide.min_level;
}

/** Coarse tiles first, among equals the nearest to the middle of the view first. */
export function paintingOrder(slide: Extent, view: L0Rect): (a: TileAddress, b: TileAddress) => number {
  const distance = (tile: TileAddress): number => {
    const rect = tileRect(slide, tile);
    return Math.hypot(
      rect.x + rect.width / 2 - (view.x + view.width / 2),
      rect.y + rect.height / 2 - (view.y + view.height / 2),
    );
  };
  return (a, b) => a.level - b.level || distance(a) - distance(b);
}
