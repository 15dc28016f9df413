/** Shapes on a slide as GeoJSON geometries in 20x pixels, and what can be measured of them. Pure arithmetic. */

import type { L0Rect, Position } from "../geometry.js";
import { BASE_MPP } from "../magnification.js";

export type Geometry =
  | { readonly type: "Point"; readonly coordinates: Position }
  | { readonly type: "MultiPoint" | "LineString"; readonly coordinates: readonly Position[] }
  | { readonly type: "MultiLineString" | "Polygon"; readonly coordinates: readonly (readonly Position[])[] }
  | { readonly type: "MultiPolygon"; readonly coordinates: readonly (readonly (readonly Position[])[])[] };

/** A geometry taken apart: its points, its open lines, its closed rings (of each polygon the outer one first). */
export interface Parts {
  readonly points: readonly Position[];
  readonly lines: readonly (readonly Position[])[];
  readonly polygons: readonly (readonly (readonly Position[])[])[];
}

export function partsOf(geometry: Geometry): Parts {
  const none = { points: [], lines: [], polygons: [] };
  switch (geometry.type) {
    case "Point":
      return { ...none, points: [geometry.coordinates] };
    case "MultiPoint":
      return { ...none, points: geometry.coordinates };
    case "LineString":
      return { ...none, lines: [geometry.coordinates] };
    case "MultiLineString":
      return { ...none, lines: geometry.coordinates };
    case "Polygon":
      return { ...none, polygons: [geometry.coordinates] };
    case "MultiPolygon":
      return { ...none, polygons: geometry.coordinates };
  }
}

/** Every position of a geometry. */
export function positionsOf(geometry: Geometry): Position[] {
  const { points, lines, polygons } = partsOf(geometry);
  return [...points, ...lines.flat(), ...polygons.flat(2)];
}

export function boundsOf(geometry: Geometry): L0Rect {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of positionsOf(geometry)) {
    left = Math.min(left, x);
    top = Math.min(top, y);
    right = Math.max(right, x);
    bottom = Math.max(bottom, y);
  }
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** Corners of a box as a closed ring. */
export function boxRing([x1, y1]: Position, [x2, y2]: Position): Position[] {
  return [
    [x1, y1],
    [x2, y1],
    [x2, y2],
    [x1, y2],
    [x1, y1],
  ];
}

/** Length of a line in um. */
export function lengthUm(line: readonly Position[]): number {
  let px = 0;
  for (let i = 1; i < line.length; i++) px += Math.hypot(line[i]![0] - line[i - 1]![0], line[i]![1] - line[i - 1]![1]);
  return px * BASE_MPP;
}

/** Area of a polygon in um2: its outer ring less its holes. */
export function areaUm2(rings: readonly (readonly Position[])[]): number {
  const areas = rings.map((ring) => Math.abs(signedArea(ring)) * BASE_MPP * BASE_MPP);
  return areas.reduce((sum, area, index) => (index === 0 ? area : sum - area), 0);
}

/** Shoelace formula, about the first position: far from the origin the products would lose their last digits. */
function signedArea(ring: readonly Position[]): number {
  const [x0, y0] = ring[0] ?? [0, 0];
  let twice = 0;
  for (let i = 1; i < ring.length; i++) {
    const [ax, ay] = ring[i - 1]!;
    const [bx, by] = ring[i]!;
    twice += (ax - x0) * (by - y0) - (bx - x0) * (ay - y0);
  }
  return twice / 2;
}

/** "214 µm", "12,300 µm²", "1.23 mm²"; three digits, which is more than a hand is good for. */
export function lengthWords(um: number): string {
  return um >= 1000 ? `${threeDigits(um / 1000)} mm` : `${threeDigits(um)} µm`;
}

export function areaWords(um2: number): string {
  return um2 >= 1e5 ? `${threeDigits(um2 / 1e6)} mm²` : `${threeDigits(um2)} µm²`;
}

function threeDigits(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 6 });
}

/** What is measured of a shape: a line's length, a polygon's area and the way around it; nothing of points. */
export function measureWords(geometry: Geometry): string {
  const { lines, polygons } = partsOf(geometry);
  if (polygons.length > 0) {
    const area = polygons.reduce((sum, rings) => sum + areaUm2(rings), 0);
    const around = polygons.reduce((sum, rings) => sum + lengthUm(rings[0] ?? []), 0);
    return `${areaWords(area)}, ${lengthWords(around)} around`;
  }
  return lines.length > 0 ? lengthWords(lines.reduce((sum, line) => sum + lengthUm(line), 0)) : "";
}

/** Whether `at` is inside the shape or within `tolerance` 20x pixels of its points and lines. */
export function isHit(geometry: Geometry, at: Position, tolerance: number): boolean {
  const { points, lines, polygons } = partsOf(geometry);
  return (
    points.some(([x, y]) => Math.hypot(x - at[0], y - at[1]) <= 2 * tolerance) ||
    [...lines, ...polygons.flat()].some((line) => distanceToLine(line, at) <= tolerance) ||
    polygons.some((rings) => rings.filter((ring) => isInside(ring, at)).length % 2 === 1)
  );
}

function distanceToLine(line: readonly Position[], [x, y]: Position): number {
  let nearest = Infinity;
  for (let i = 1; i < line.length; i++) {
    const [ax, ay] = line[i - 1]!;
    const [bx, by] = line[i]!;
    const length2 = (bx - ax) ** 2 + (by - ay) ** 2;
    const along = length2 === 0 ? 0 : ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length2;
    const part = Math.min(Math.max(along, 0), 1);
    nearest = Math.min(nearest, Math.hypot(x - ax - part * (bx - ax), y - ay - part * (by - ay)));
  }
  return nearest;
}

/** By the number of crossings of a ray to the right. */
function isInside(ring: readonly Position[], [x, y]: Position): boolean {
  let inside = false;
  for (let i = 1; i < ring.length; i++) {
    const [ax, ay] = ring[i - 1]!;
    const [bx, by] = ring[i]!;
    if (ay > y !== by > y && x < ax + ((y - ay) / (by - ay)) * (bx - ax)) inside = !inside;
  }
  return inside;
}

type Part = "points" | "line" | "ring";

/** The shape with each of its runs of positions changed. `start`: of the run's first position, as `positionsOf` counts. */
function changedParts(
  geometry: Geometry,
  change: (positions: readonly Position[], part: Part, start: number) => readonly Position[],
): Geometry {
  let count = 0;
  const run =
    (part: Part) =>
    (positions: readonly Position[]): readonly Position[] => {
      const start = count;
      count += positions.length;
      return change(positions, part, start);
    };
  switch (geometry.type) {
    case "Point":
      return { ...geometry, coordinates: run("points")([geometry.coordinates])[0] as Position };
    case "MultiPoint":
      return { ...geometry, coordinates: run("points")(geometry.coordinates) };
    case "LineString":
      return { ...geometry, coordinates: run("line")(geometry.coordinates) };
    case "MultiLineString":
      return { ...geometry, coordinates: geometry.coordinates.map(run("line")) };
    case "Polygon":
      return { ...geometry, coordinates: geometry.coordinates.map(run("ring")) };
    case "MultiPolygon":
      return { ...geometry, coordinates: geometry.coordinates.map((rings) => rings.map(run("ring"))) };
  }
}

/** The shape with one of its positions moved; the two ends of a ring are one corner. `index` counts as `positionsOf`. */
export function moved(geometry: Geometry, index: number, to: Position): Geometry {
  return changedParts(geometry, (positions, part, start) => {
    const last = positions.length - 1;
    const at = index - start;
    if (at < 0 || at > last) return positions;
    const ends = part === "ring" && (at === 0 || at === last);
    return positions.map((position, i) =>
      i === at || (ends && (i === 0 || i === last)) ? placed(position, to) : position,
    );
  });
}

/** The whole shape moved by so many 20x pixels. */
export function translated(geometry: Geometry, [dx, dy]: Position): Geometry {
  return changedParts(geometry, (positions) => positions.map((at) => placed(at, [at[0] + dx, at[1] + dy])));
}

/** The shape with a corner more, after the one of `index`. */
export function withCorner(geometry: Geometry, index: number, at: Position): Geometry {
  return changedParts(geometry, (positions, part, start) => {
    const i = index - start;
    if (part === "points" || i < 0 || i >= positions.length - 1) return positions;
    return [...positions.slice(0, i + 1), at, ...positions.slice(i + 1)];
  });
}

/** The shape without one of its corners, and without a hole or part that then has too few; null where nothing is left. */
export function withoutCorner(geometry: Geometry, index: number): Geometry | null {
  if (geometry.type === "Point") return null;
  const thinned = changedParts(geometry, (positions, part, start) => {
    const last = positions.length - 1;
    const at = index - start;
    if (at < 0 || at > last) return positions;
    const rest = positions.filter((_, i) => i !== at);
    if (part !== "ring") return rest.length >= (part === "line" ? 2 : 1) ? rest : [];
    const open = at === 0 || at === last ? positions.slice(1, -1) : rest.slice(0, -1);
    return open.length >= 3 ? [...open, open[0] as Position] : [];
  });
  switch (thinned.type) {
    case "Point":
      return null;
    case "MultiPoint":
    case "LineString":
      return thinned.coordinates.length > 0 ? thinned : null;
    case "MultiLineString": {
      const lines = thinned.coordinates.filter((line) => line.length > 0);
      return lines.length > 0 ? { ...thinned, coordinates: lines } : null;
    }
    case "Polygon": {
      const rings = withoutEmpty(thinned.coordinates);
      return rings ? { ...thinned, coordinates: rings } : null;
    }
    case "MultiPolygon": {
      const polygons = thinned.coordinates.map(withoutEmpty).filter((rings) => rings !== null);
      return polygons.length > 0 ? { ...thinned, coordinates: polygons } : null;
    }
  }
}

/** Rings of a polygon without its empty holes; null where its outline is empty. */
function withoutEmpty(rings: readonly (readonly Position[])[]): (readonly Position[])[] | null {
  return rings[0]?.length ? rings.filter((ring) => ring.length > 0) : null;
}

/** Another place, and what else a position has: its depth in 3-D. */
function placed(position: Position, [x, y]: Position): Position {
  return [x, y, ...(position as readonly number[]).slice(2)] as unknown as Position;
}

/** A corner that a hand can take, and the middle of the edge behind it, where there is one. */
export interface Corner {
  /** As `positionsOf` counts. */
  readonly index: number;
  readonly at: Position;
  readonly next: Position | null;
}

/** The corners of a shape; the two ends of a ring are one. */
export function cornersOf(geometry: Geometry): Corner[] {
  const corners: Corner[] = [];
  changedParts(geometry, (positions, part, start) => {
    const count = part === "ring" ? positions.length - 1 : positions.length;
    for (let i = 0; i < count; i++) {
      const next = part === "points" ? null : (positions[i + 1] ?? null);
      corners.push({ index: start + i, at: positions[i] as Position, next });
    }
    return positions;
  });
  return corners;
}
