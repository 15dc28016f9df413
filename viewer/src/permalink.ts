/** The view as the URL's hash: `#slide=demo&x=65536&y=49152&mag=5&seed=7&model=mini&fp=1f0c`. */

import type { Provenance } from "./api.js";
import { MAX_MAGNIFICATION } from "./magnification.js";

/** What a link shows. x, y: the view's centre in 20x pixels; rotation: degrees clockwise, 0 .. 360. */
export interface View {
  readonly x: number;
  readonly y: number;
  readonly magnification: number;
  readonly rotation: number;
}

/** Who painted what a link shows; each part may be missing. */
export interface Painted {
  readonly seed: string | null;
  readonly model: string | null;
  /** Steps and guidance are in a link only where they are not the model's own. */
  readonly steps: string | null;
  readonly guidance: string | null;
  /** Chosen or drawn, where the model knows organs. */
  readonly organ: string | null;
  readonly fingerprint: string | null;
}

/** A link: which slide, where in it, and who painted it; each part may be missing. */
export interface Link {
  readonly slide: string | null;
  readonly view: View | null;
  readonly painted: Painted;
}

/** The hash of a view, without rounding beyond whole 20x pixels and six digits of magnification. */
export function formatHash(slide: Provenance, view: View): string {
  const mag = Number(view.magnification.toPrecision(6));
  const turn = Number(view.rotation.toFixed(2));
  const place = `x=${Math.round(view.x)}&y=${Math.round(view.y)}&mag=${mag}${turn ? `&rot=${turn}` : ""}`;
  const [id, model, fingerprint] = [slide.id, slide.model, slide.fingerprint].map(encodeURIComponent);
  const steps = slide.steps === null ? "" : `&steps=${slide.steps}`;
  const guidance = slide.guidance === 1 ? "" : `&guidance=${slide.guidance}`;
  const organ = slide.organ === null ? "" : `&organ=${encodeURIComponent(slide.organ)}`;
  return `#slide=${id}&${place}&seed=${slide.seed}&model=${model}${steps}${guidance}${organ}&fp=${fingerprint}`;
}

/** Reads a hash. A view with a missing or impossible number is no view: (null), never a guess. */
export function parseHash(hash: string): Link {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const x = numberIn(fields.get("x"));
  const y = numberIn(fields.get("y"));
  const magnification = numberIn(fields.get("mag"));
  const rotation = (((numberIn(fields.get("rot") ?? "0") ?? 0) % 360) + 360) % 360;
  const usable = x !== null && y !== null && magnification !== null && magnification > 0;
  return {
    slide: fields.get("slide") || null,
    view: usable ? { x, y, magnification: Math.min(magnification, MAX_MAGNIFICATION), rotation } : null,
    painted: {
      seed: fields.get("seed") || null,
      model: fields.get("model") || null,
      steps: fields.get("steps") || null,
      guidance: fields.get("guidance") || null,
      organ: fields.get("organ") || null,
      fingerprint: fields.get("fp") || null,
    },
  };
}

/**
 * What differs between the painter of a link and that of a slide, in words; empty where the pixels are the same.
 * The fingerprint changes with the weights, the sampler, the library and the machine.
 */
export function differences(painted: Painted, slide: Provenance): string[] {
  const now: Painted = {
    seed: slide.seed,
    model: slide.model,
    steps: String(slide.steps ?? "(the model's own)"),
    guidance: String(slide.guidance),
    organ: slide.organ ?? "(none)",
    fingerprint: slide.fingerprint,
  };
  return (Object.keys(now) as (keyof Painted)[])
    .filter((key) => painted[key] !== null && painted[key] !== now[key])
    .map((key) => `${key} ${now[key]} instead of ${painted[key]}`);
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
    left.view?.magnification === right.view?.magnification &&
    left.view?.rotation === right.view?.rotation &&
    left.painted.fingerprint === right.painted.fingerprint
  );
}
