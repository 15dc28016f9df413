/** Annotations as GeoJSON features, in the form in which QuPath exports and imports them. */

import { freshId } from "../identifier.js";
import type { Geometry, Position } from "./shapes.js";

export type Rgb = readonly [number, number, number];

/** Properties that are not known here are kept as they came: QuPath's measurements, locks, and so on. */
export interface Feature {
  readonly type: "Feature";
  readonly id: string;
  readonly geometry: Geometry;
  readonly properties: {
    readonly objectType?: string;
    readonly name?: string;
    readonly classification?: { readonly name?: string; readonly color?: Rgb; readonly colorRGB?: number };
    readonly color?: Rgb;
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

export function featureOf(geometry: Geometry, label: string, color: Rgb, id: string = freshId()): Feature {
  return { type: "Feature", id, geometry, properties: labelled({ objectType: "annotation" }, label, color) };
}

/** The same annotation under another label. */
export function relabelled(feature: Feature, label: string, color: Rgb): Feature {
  return { ...feature, properties: labelled(feature.properties, label, color) };
}

function labelled(properties: Feature["properties"], label: string, color: Rgb): Feature["properties"] {
  const { classification: _classification, name: _name, color: _color, ...rest } = properties;
  return label ? { ...rest, classification: { name: label, color } } : { ...rest, color };
}

export function labelOf({ properties }: Feature): string {
  return properties.classification?.name ?? properties.name ?? "";
}

export function colorOf({ properties }: Feature): Rgb {
  const { classification } = properties;
  const packed = classification?.colorRGB;
  if (classification?.color) return classification.color;
  // Older versions of QuPath pack red, green and blue into one signed integer.
  if (typeof packed === "number") return [(packed >> 16) & 255, (packed >> 8) & 255, packed & 255];
  return properties.color ?? LABELS.find((label) => label.name === labelOf({ properties } as Feature))?.color ?? PLAIN;
}

export function cssColor([red, green, blue]: Rgb): string {
  return `rgb(${red} ${green} ${blue})`;
}

/** The file that QuPath imports. */
export function collectionText(features: Iterable<Feature>): string {
  return JSON.stringify({ type: "FeatureCollection", features: [...features] }, null, 1);
}

/**
 * Features of a GeoJSON text: a FeatureCollection, a list of features, or one feature. Features without a usable id get
 * one. Throws an Error whose message is for people.
 */
export function parseCollection(text: string): Feature[] {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Error("The file is not JSON. Export the annotations of QuPath as GeoJSON.");
  }
  const listed = Array.isArray(content) ? content : ((content as { features?: unknown })?.features ?? [content]);
  if (!Array.isArray(listed)) throw new Error("The file has no list of features.");
  return listed.map((feature, index) => checked(feature, index + 1));
}

function checked(feature: unknown, number: number): Feature {
  const { type, id, geometry, properties } = (feature ?? {}) as Partial<Feature>;
  if (type !== "Feature" || !geometry || !isPositions(geometry.coordinates)) {
    throw new Error(`Feature ${number} of the file is no GeoJSON feature with coordinates.`);
  }
  const usable = typeof id === "string" && /^[A-Za-z0-9-]{1,64}$/.test(id);
  return {
    type,
    id: usable ? id : freshId(),
    geometry,
    properties: { objectType: "annotation", ...properties },
  };
}

function isPositions(value: unknown): boolean {
  if (!Array.isArray(value) || value.length === 0) return false;
  if (typeof value[0] === "number") return (value as unknown as Position).every((number) => Number.isFinite(number));
  return value.every(isPositions);
}
