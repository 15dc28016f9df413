/** What is typed of a region, in mm, as the server takes it, in µm; and why it cannot be one. */

export interface Area<T = number> {
  x: T;
  y: T;
  width: T;
  height: T;
}

/** Size of a slide in mm. */
export interface Extent {
  width: number;
  height: number;
}

export interface RegionWish {
  x_um: number;
  y_um: number;
  width_um: number;
  height_um: number;
  organ: string;
}

/** side: the field that is wrong. */
export class RegionError extends Error {
  constructor(
    words: string,
    readonly side: keyof Area,
  ) {
    super(words);
  }
}

const NAMES: Record<keyof Area, string> = {
  x: "distance from the left",
  y: "distance from the top",
  width: "width",
  height: "height",
};

/** The region of number `order`. Throws RegionError for what is no number, and for a region that leaves the slide. */
export function wishOf(order: number, organ: string, typed: Area<string>, extent: Extent | null): RegionWish {
  const who = `Region ${order} (${organ})`;
  const read = (side: keyof Area): number => {
    const text = typed[side].trim().replace(",", ".");
    const value = Number(text);
    if (text === "" || !Number.isFinite(value)) {
      throw new RegionError(`${who}: the ${NAMES[side]} is no number of mm: “${typed[side]}”. Correct it.`, side);
    }
    return value;
  };
  const area: Area = { x: read("x"), y: read("y"), width: read("width"), height: read("height") };
  for (const side of ["width", "height"] as const) {
    if (area[side] <= 0) throw new RegionError(`${who}: its ${NAMES[side]} is not more than 0 mm. Correct it.`, side);
  }
  check(who, area, "x", area.width, extent?.width ?? Infinity);
  check(who, area, "y", area.height, extent?.height ?? Infinity);
  const [x_um, y_um, width_um, height_um] = [area.x, area.y, area.width, area.height].map(toUm) as [
    number,
    number,
    number,
    number,
  ];
  return { x_um, y_um, width_um, height_um, organ };
}

/** Where a region lies to begin with: amid the slide, a quarter as long as it, at most 10 mm. */
export function inMiddle(extent: Extent | null): Area {
  const { width, height } = extent ?? { width: 10, height: 10 };
  const [wide, high] = [Math.min(width / 4, 10), Math.min(height / 4, 10)];
  const short = (value: number): number => Math.round(value * 10) / 10;
  return { x: short((width - wide) / 2), y: short((height - high) / 2), width: short(wide), height: short(high) };
}

function check(who: string, area: Area, side: "x" | "y", length: number, end: number): void {
  const from = area[side];
  if (from >= 0 && toUm(from) + toUm(length) <= toUm(end)) return;
  const edge = side === "x" ? "left" : "top";
  const slide = Number.isFinite(end) ? `is ${shown(end)} mm ${side === "x" ? "wide" : "high"}` : "begins at 0 mm";
  throw new RegionError(
    `${who} lies outside: it reaches from ${shown(from)} to ${shown(from + length)} mm from the ${edge}, and the slide ` +
      `${slide}. Move it or make it smaller.`,
    side,
  );
}

/** mm -> µm, to a thousandth: 0.1 + 0.2 mm are 300 µm. */
function toUm(mm: number): number {
  return Math.round(mm * 1e6) / 1e3;
}

function shown(mm: number): string {
  return String(Math.round(mm * 1000) / 1000);
}
