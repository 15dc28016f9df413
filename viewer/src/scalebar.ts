/** A scale bar of a round length: 1, 2 or 5 times a power of ten. */

import { umPerPx } from "./magnification.js";

/** A bar: how long it stands for, how long it is drawn, what is written on it. */
export interface ScaleBar {
  readonly lengthUm: number;
  readonly widthPx: number;
  readonly label: string;
}

/** The longest round length that is at most `maxPx` CSS pixels wide. */
export function scaleBar(magnification: number, maxPx: number): ScaleBar {
  const maxUm = maxPx * umPerPx(magnification);
  const power = 10 ** Math.floor(Math.log10(maxUm));
  const lengthUm = ([5, 2, 1].find((step) => step * power <= maxUm * (1 + 1e-9)) ?? 1) * power;
  return { lengthUm, widthPx: lengthUm / umPerPx(magnification), label: lengthLabel(lengthUm) };
}

/** 500 -> "500 µm", 2000 -> "2 mm", 0.2 -> "0.2 µm". */
export function lengthLabel(um: number): string {
  return um >= 1000 ? `${Number((um / 1000).toPrecision(3))} mm` : `${Number(um.toPrecision(3))} µm`;
}

/** Draws the bar for a magnification into its element; `maxPx` is the widest it may get. */
export function showScaleBar(element: HTMLElement, magnification: number, maxPx: number): void {
  const bar = scaleBar(magnification, maxPx);
  element.style.setProperty("--bar-width", `${bar.widthPx.toFixed(2)}px`);
  const label = element.querySelector("[data-label]");
  if (label) label.textContent = bar.label;
  element.setAttribute("aria-label", `Scale bar: ${bar.label}`);
}
