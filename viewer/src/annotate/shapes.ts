/** Shapes on a slide as GeoJSON geometries in 20x pixels, and what can be measured of them. Pure arithmetic. */

import type { L0Rect } from "../geometry.js";
import { BASE_MPP } from "../magnification.js";

/** x, y in 20x pixels. */
export type Position = readonly [number, number];

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

/** The shape with one of its positions moved; the two ends of a ring are one corner. `index` counts as `positionsOf`. */
export function moved(geometry: Geometry, index: number, to: Position): Geometry {
  let count = 0;
  const replace = (position: Position): Position => (count++ === index ? to : position);
  const line = (positions: readonly Position[]): Position[] => positions.map(replace);
  const ring = (positions: readonly Position[]): Position[] => {
    const start = count;
    const changed = line(positions);
    const last = changed.length - 1;
    if (index === start) changed[last] = to;
    if (index === start + last) changed[0] = to;
    return changed;
  };
  switch (geometry.type) {
    case "Point":
      return { ...geometry, coordinates: replace(geometry.coordinates) };
    case "MultiPoint":
    case "LineString":
      return { ...geometry, coordinates: line(geometry.coordinates) };
    case "MultiLineString":
      return { ...geometry, coordinates: geometry.coordinates.map(line) };
    case "Polygon":
      return { ...geometry, coordinates: geometry.coordinates.map(ring) };
    case "MultiPolygon":
      return { ...geometry, coordinates: geometry.coordinates.map((rings) => rings.map(ring)) };
  }
}
