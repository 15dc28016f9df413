/** The view as the URL's hash: `#slide=demo&x=65536&y=49152&mag=5`. */

import { MAX_MAGNIFICATION } from "./magnification.js";

/** What a link shows. x, y: the view's centre in 20x pixels. */
export interface View {
  readonly x: number;
  readonly y: number;
  readonly magnification: number;
}

/** A link: which slide, and where in it; each part may be missing. */
export interface Link {
  readonly slide: string | null;
  readonly view: View | null;
}

/** The hash of a view, without rounding beyond whole 20x pixels and six digits of magnification. */
export function formatHash(slide: string, view: View): string {
  const mag = Number(view.magnification.toPrecision(6));
  return `#slide=${encodeURIComponent(slide)}&x=${Math.round(view.x)}&y=${Math.round(view.y)}&mag=${mag}`;
}

/** Reads a hash. A view with a missing or impossible number is no view: (null), never a guess. */
export function parseHash(hash: string): Link {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const x = numberIn(fields.get("x"));
  const y = numberIn(fields.get("y"));
  const magnification = numberIn(fields.get("mag"));
  const usable = x !== null && y !== null && magnification !== null && magnification > 0;
  return {
    slide: fields.get("slide") || null,
    view: usable ? { x, y, magnification: Math.min(magnification, MAX_MAGNIFICATION) } : null,
  };
}

function numberIn(text: string | null): number | null {
  if (text === null || !/^-?\d+(\.\d+)?(e-?\d+)?$/.test(text)) return null;
  const value = Number(text);
  return Number.isFinite(value) && Math.abs(value) <= Number.MAX_SAFE_INTEGER ? value : null;
}

/** Whether the hash already shows this view, to the pixel. */
export function sameHash(a: string, b: string): boolean {
  const [left, right] = [parseHash(a), parseHash(b)];
  return (
    left.slide === right.slide &&
    left.view?.x === right.view?.x &&
    left.view?.y === right.view?.y &&
    left.view?.magnification === right.view?.magnification
  );
}
