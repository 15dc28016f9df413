/** The adjustment as an SVG filter: the browser applies it to whatever is drawn, while panning and painting go on. */

import { svg } from "../dom.js";
import { type Adjustment, densityOf, isNeutral, levelOf, MOST_DENSITY, showsAllStains, stainMatrix } from "./stains.js";

const NAME = "everslide-adjust";
const CHANNELS = ["feFuncR", "feFuncG", "feFuncB"] as const;
const STEPS = 255;

/** Keeps one filter in the page, and puts it on elements. */
export class Filter {
  readonly #filter = svg("filter", {
    id: NAME,
    x: "0",
    y: "0",
    width: "100%",
    height: "100%",
    "color-interpolation-filters": "sRGB",
  });
  readonly #targets = new Set<HTMLElement>();
  #on = false;

  constructor(page: Document) {
    page.body.append(
      svg("svg", { width: 0, height: 0, class: "visually-hidden", "aria-hidden": "true" }, this.#filter),
    );
  }

  /** From now on `element` is shown as set. */
  add(element: HTMLElement): void {
    this.#targets.add(element);
    this.#put(element);
  }

  remove(element: HTMLElement): void {
    this.#targets.delete(element);
  }

  set(adjustment: Adjustment): void {
    this.#on = !isNeutral(adjustment);
    this.#filter.replaceChildren(
      ...(showsAllStains(adjustment) ? [] : stainSteps(adjustment)),
      ...toneSteps(adjustment),
    );
    for (const element of this.#targets) this.#put(element);
  }

  #put(element: HTMLElement): void {
    element.style.filter = this.#on ? `url("#${NAME}")` : "";
  }
}

/** Level -> density, in parts of MOST_DENSITY; the matrix; density -> level. */
function stainSteps(adjustment: Adjustment): SVGElement[] {
  const toDensity = tableOf((part) => densityOf(part * 255) / MOST_DENSITY);
  const toLevel = tableOf((part) => levelOf(part * MOST_DENSITY) / 255);
  const m = stainMatrix(adjustment);
  const values = `${m[0]} ${m[1]} ${m[2]} 0 0 ${m[3]} ${m[4]} ${m[5]} 0 0 ${m[6]} ${m[7]} ${m[8]} 0 0 0 0 0 1 0`;
  return [
    transfer({ type: "table", tableValues: toDensity }),
    svg("feColorMatrix", { type: "matrix", values }),
    transfer({ type: "table", tableValues: toLevel }),
  ];
}

function toneSteps({ brightness, contrast, gamma }: Adjustment): SVGElement[] {
  return [
    transfer({ type: "linear", slope: contrast, intercept: 0.5 + brightness - 0.5 * contrast }),
    transfer({ type: "gamma", amplitude: 1, exponent: 1 / gamma, offset: 0 }),
  ];
}

function transfer(attributes: Record<string, string | number>): SVGElement {
  return svg("feComponentTransfer", {}, ...CHANNELS.map((channel) => svg(channel, attributes)));
}

function tableOf(f: (part: number) => number): string {
  return Array.from({ length: STEPS + 1 }, (_, n) => f(n / STEPS).toFixed(5)).join(" ");
}
