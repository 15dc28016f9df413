/** Annotations as GeoJSON features, in the form in which QuPath exports and imports them. */

import { unmarked, writeExact } from "../exactJson.js";
import { freshId } from "../identifier.js";
import type { Geometry } from "./shapes.js";

export type Rgb = readonly [number, number, number];

/**
 * What other programs write is kept as it came, known here or not: QuPath's measurements, nuclei, planes, and so on. So
 * the properties may hold anything.
 */
export interface Feature {
  readonly type: "Feature";
  readonly id: string;
  readonly geometry: Geometry;
  readonly nucleusGeometry?: Geometry;
  readonly properties: {
    readonly objectType?: unknown;
    readonly name?: unknown;
    readonly classification?: unknown;
    readonly color?: unknown;
    readonly isLocked?: unknown;
    readonly [other: string]: unknown;
  };
}

/** A label to choose from, with its colour. The names and colours are those that QuPath starts with. */
export interface Label {
  readonly name: string;
  readonly color: Rgb;
}

export const LABELS: readonly Label[] = [
  { name: "Tumor", color: [200, 0, 0] },
  { name: "Stroma", color: [60, 140, 60] },
  { name: "Immune cells", color: [130, 60, 160] },
  { name: "Necrosis", color: [70, 70, 70] },
  { name: "Gland", color: [0, 105, 190] },
  { name: "Other", color: [190, 120, 0] },
];
/** Of annotations without a label. */
export const PLAIN: Rgb = [40, 70, 170];
const LONGEST_LABEL = 200;

export function featureOf(geometry: Geometry, label: string, color: Rgb, id: string = freshId()): Feature {
  return { type: "Feature", id, geometry, properties: labelled({ objectType: "annotation" }, label, color) };
}

/** The same annotation under another label. A name beside a class stays. */
export function relabelled(feature: Feature, label: string, color: Rgb): Feature {
  const { properties } = feature;
  const named = classOf(properties.classification) !== "" && "name" in properties ? { name: properties.name } : {};
  return { ...feature, properties: { ...labelled(properties, label, color), ...named } };
}

function labelled(properties: Feature["properties"], label: string, color: Rgb): Feature["properties"] {
  const { classification: _classification, name: _name, color: _color, ...rest } = properties;
  return label ? { ...rest, classification: { name: label, color } } : { ...rest, color };
}

/** QuPath's locked objects are not moved by accident. */
export function isLocked({ properties }: Feature): boolean {
  return properties.isLocked === true;
}

/** The class of an annotation, else its name; empty where there is none. */
export function labelOf({ properties }: Feature): string {
  return classOf(properties.classification) || wordsIn(properties.name);
}

/** A class as text, list or object: { names: ["Tumor", "Positive"] } -> "Tumor: Positive". */
function classOf(classification: unknown): string {
  if (Array.isArray(classification)) return classification.map(wordsIn).filter(Boolean).join(": ");
  if (!isRecord(classification)) return wordsIn(classification);
  return classOf(classification["names"]) || wordsIn(classification["name"]);
}

function wordsIn(value: unknown): string {
  const words = typeof value === "string" || typeof value === "number" ? unmarked(String(value)) : "";
  return oneLine(words).slice(0, LONGEST_LABEL);
}

/**
 * Without control characters, halves of characters and marks that turn the text behind them, spaces made one; empty where
 * nothing of it would be seen. As the server does.
 */
function oneLine(text: string): string {
  const kept = text.replace(/[\p{Cs}\u202a-\u202e\u2066-\u2069]/gu, "").replace(/\p{Cc}/gu, " ");
  return /[^\p{C}\p{Z}]/u.test(kept) ? kept.trim().split(/\s+/).join(" ") : "";
}

/** The colour of an annotation, of its class, else of its label. */
export function colorOf(feature: Feature): Rgb {
  const { properties } = feature;
  const own = rgbIn(properties.color) ?? rgbIn(properties["colorRGB"]);
  const { classification } = properties;
  const ofClass = isRecord(classification)
    ? (rgbIn(classification["color"]) ?? rgbIn(classification["colorRGB"]))
    : null;
  return ofClass ?? own ?? LABELS.find(({ name }) => name === labelOf(feature))?.color ?? PLAIN;
}

/** [200, 0, 0], -3670016 (older versions of QuPath pack it into one number), "#c80000", "#c00" or "rgb(200, 0, 0)". */
function rgbIn(value: unknown): Rgb | null {
  if (Array.isArray(value)) return rgbOf(value);
  if (typeof value === "number" && Number.isInteger(value))
    return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
  if (typeof value !== "string") return null;
  const short = /^\s*#([0-9a-f])([0-9a-f])([0-9a-f])[0-9a-f]?\s*$/i.exec(value);
  if (short) return rgbOf(short.slice(1).map((digit) => parseInt(digit + digit, 16)));
  const long = /^\s*#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})(?:[0-9a-f]{2})?\s*$/i.exec(value);
  if (long) return rgbOf(long.slice(1).map((digits) => parseInt(digits, 16)));
  const called = /^\s*rgba?\(\s*(\d+)[\s,]+(\d+)[\s,]+(\d+)/i.exec(value);
  return called ? rgbOf(called.slice(1).map(Number)) : null;
}

function rgbOf(values: readonly unknown[]): Rgb | null {
  const levels = values.slice(0, 3);
  if (levels.length < 3 || !levels.every((level) => typeof level === "number" && Number.isFinite(level))) return null;
  const [red, green, blue] = levels.map((level) => Math.round(Math.min(Math.max(level as number, 0), 255)));
  return [red ?? 0, green ?? 0, blue ?? 0];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function cssColor([red, green, blue]: Rgb): string {
  return `rgb(${red} ${green} ${blue})`;
}

/** The file that QuPath imports. */
export function collectionText(features: Iterable<Feature>): string {
  return writeExact({ type: "FeatureCollection", features: [...features] }, 1);
}
