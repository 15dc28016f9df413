/** Magnifications of the microscope and how they are written. At 20x one slide pixel is one CSS pixel. */

/** Objective magnification of the finest level. */
export const BASE_MAGNIFICATION = 20;
/** Micrometres per pixel of the finest level. */
export const BASE_MPP = 0.5;
/** The eight painted magnifications, coarse to fine: 0.15625x to 20x. */
export const MAGNIFICATIONS: readonly number[] = [0.15625, 0.3125, 0.625, 1.25, 2.5, 5, 10, 20];
/** The farthest a person can zoom in: 20x with every pixel drawn as 2 x 2. */
export const MAX_MAGNIFICATION = 40;

/** 0.15625 -> "0.16x", 2.5 -> "2.5x", 7.2912 -> "7.29x". */
export function magnificationLabel(magnification: number): string {
  const digits = magnification < 10 ? 2 : 1;
  // Number() drops the zeros that toFixed leaves behind; the nudge rounds 0.3125 and 0.625 the way people write them.
  return `${Number((magnification * (1 + 1e-9)).toFixed(digits))}x`;
}

/** What the slide shows: "5x", or "20x (enlarged)" where the screen shows more than was painted. */
export function shownMagnification(magnification: number): string {
  return magnification > BASE_MAGNIFICATION * 1.005 ? "20x (enlarged)" : magnificationLabel(magnification);
}

/** Micrometres per CSS pixel: 20x -> 0.5. */
export function umPerPx(magnification: number): number {
  return (BASE_MPP * BASE_MAGNIFICATION) / magnification;
}

/** 2 -> "2 µm/px", 0.4712 -> "0.47 µm/px". */
export function umPerPxLabel(magnification: number): string {
  const um = umPerPx(magnification);
  return `${Number(um.toPrecision(um >= 1 ? 3 : 2))} µm/px`;
}

/** The index in MAGNIFICATIONS of the one shown, one more for the enlarged one, or -1 between two of them. */
export function exactIndex(magnification: number): number {
  return [...MAGNIFICATIONS, MAX_MAGNIFICATION].findIndex((step) => Math.abs(magnification / step - 1) < 0.005);
}
