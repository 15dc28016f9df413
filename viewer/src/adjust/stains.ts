/**
 * Brightness, contrast, gamma, and the two stains apart. Pure arithmetic; the page shows the same by an SVG filter.
 *
 * Stain vectors are those of Ruifrok and Johnston, "Quantification of histochemical staining by color deconvolution"
 * (2001): rows are unit optical densities (red, green, blue) of hematoxylin, eosin and a residual.
 */

export type Matrix = readonly [number, number, number, number, number, number, number, number, number];

/** How the slide is shown. Everything at its neutral value changes nothing. */
export interface Adjustment {
  /** -1 .. 1, added to every channel, in parts of full range. */
  readonly brightness: number;
  /** 0 .. 3, steepness about middle grey. */
  readonly contrast: number;
  /** 0.3 .. 3; above 1 lightens the middle tones. */
  readonly gamma: number;
  /** 0 .. 2, how much of the stain is shown. */
  readonly hematoxylin: number;
  readonly eosin: number;
}

export const NEUTRAL: Adjustment = { brightness: 0, contrast: 1, gamma: 1, hematoxylin: 1, eosin: 1 };

export const STAINS: Matrix = [0.65, 0.704, 0.286, 0.072, 0.99, 0.105, 0.268, 0.57, 0.776];
/** Grey level of clean glass, where optical density begins. */
export const WHITE = 245;
/** Densities above this look black anyway; a short range keeps steps of the filter's eight bits invisible. */
export const MOST_DENSITY = 1.2;

export function isNeutral(adjustment: Adjustment): boolean {
  return (Object.keys(NEUTRAL) as (keyof Adjustment)[]).every((key) => adjustment[key] === NEUTRAL[key]);
}

export function showsAllStains({ hematoxylin, eosin }: Adjustment): boolean {
  return hematoxylin === 1 && eosin === 1;
}

/** Grey level 0 .. 255 -> optical density 0 .. MOST_DENSITY. */
export function densityOf(level: number): number {
  const density = -Math.log10(Math.max(level, 1) / WHITE);
  return Math.min(Math.max(density, 0), MOST_DENSITY);
}

/** Optical density -> grey level 0 .. WHITE. */
export function levelOf(density: number): number {
  return WHITE * 10 ** -Math.max(density, 0);
}

/** Density in -> density out, as a matrix for column vectors: unmix, weigh each stain, mix again. */
export function stainMatrix(adjustment: Adjustment): Matrix {
  const { hematoxylin, eosin } = adjustment;
  const residual = Math.min(1, hematoxylin, eosin);
  const mix = transposed(STAINS);
  const weigh: Matrix = [hematoxylin, 0, 0, 0, eosin, 0, 0, 0, residual];
  return product(product(mix, weigh), inverse(mix));
}

/** Level -> level of one channel, for brightness, contrast and gamma; 256 entries. */
export function toneCurve(adjustment: Adjustment): Uint8ClampedArray {
  const { brightness, contrast, gamma } = adjustment;
  return Uint8ClampedArray.from({ length: 256 }, (_, level) => {
    const value = Math.min(Math.max((level / 255 - 0.5) * contrast + 0.5 + brightness, 0), 1);
    return 255 * value ** (1 / gamma);
  });
}

/** Changes RGBA pixels in place. */
export function adjustPixels(pixels: Uint8ClampedArray, adjustment: Adjustment): void {
  const tone = toneCurve(adjustment);
  const m = stainMatrix(adjustment);
  const apart = !showsAllStains(adjustment);
  const densities = Float64Array.from({ length: 256 }, (_, level) => densityOf(level));
  for (let i = 0; i < pixels.length; i += 4) {
    if (apart) {
      const r = densities[pixels[i]!]!;
      const g = densities[pixels[i + 1]!]!;
      const b = densities[pixels[i + 2]!]!;
      pixels[i] = levelOf(m[0] * r + m[1] * g + m[2] * b);
      pixels[i + 1] = levelOf(m[3] * r + m[4] * g + m[5] * b);
      pixels[i + 2] = levelOf(m[6] * r + m[7] * g + m[8] * b);
    }
    for (let channel = i; channel < i + 3; channel++) pixels[channel] = tone[pixels[channel]!]!;
  }
}

function transposed(m: Matrix): Matrix {
  return [m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]];
}

export function product(a: Matrix, b: Matrix): Matrix {
  const at = (row: number, col: number): number =>
    a[3 * row]! * b[col]! + a[3 * row + 1]! * b[3 + col]! + a[3 * row + 2]! * b[6 + col]!;
  return [at(0, 0), at(0, 1), at(0, 2), at(1, 0), at(1, 1), at(1, 2), at(2, 0), at(2, 1), at(2, 2)];
}

/** By cofactors. */
export function inverse(m: Matrix): Matrix {
  const [a, b, c, d, e, f, g, h, i] = m;
  const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  const adjugate: Matrix = [
    e * i - f * h,
    c * h - b * i,
    b * f - c * e,
    f * g - d * i,
    a * i - c * g,
    c * d - a * f,
    d * h - e * g,
    b * g - a * h,
    a * e - b * d,
  ];
  return adjugate.map((value) => value / det) as unknown as Matrix;
}
