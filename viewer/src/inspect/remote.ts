/** What the server reports about tiles. */

import { fetchJson, sendJson, type Slide } from "../api.js";
import type { TileAddress } from "../geometry.js";
import type { SamplingConfig } from "../sampling.js";
import { inTurn } from "../turns.js";

export interface TileFacts extends SamplingConfig {
  /** What the slide is of, where its model knows. */
  readonly organ: string | null;
  readonly scale: number;
  readonly magnification: number;
  readonly um_per_px: number;
  readonly seed: string;
  readonly model: string;
  readonly fingerprint: string;
  readonly cached: boolean;
  readonly sha256: string | null;
  /** Largest difference of its 2x2 box means from its parent, in grey levels; null while either is not painted. */
  readonly difference: number | null;
}

export interface Repainted {
  readonly equal: boolean;
  readonly sha256: readonly [string, string];
  readonly largest_difference: number;
  readonly milliseconds: number;
  readonly windows: number | null;
  /** Sampler steps of a window. */
  readonly steps: number | null;
  readonly denoiser_calls: number | null;
  /** Windows painted for it, coarse first; empty where the model cannot be watched. */
  readonly work: readonly WindowWork[];
  /** How the last window came about; empty where the model cannot be watched. */
  readonly film: readonly FilmFrame[];
}

export interface WindowWork {
  readonly magnification: number;
  readonly milliseconds: number;
  /** How well the window agreed with its parent before the exact step, in dB. */
  readonly agreement_db: number;
}

export interface FilmFrame {
  readonly title: string;
  readonly words: string;
  /** A JPEG as a data address. */
  readonly image: string;
}

export interface TileState {
  readonly col: number;
  readonly row: number;
  readonly cached: boolean;
  readonly difference: number | null;
}

const base = (slide: Slide): string => `/api/slides/${encodeURIComponent(slide.id)}/tiles`;
const addressOf = (slide: Slide, { level, col, row }: TileAddress): string => `${base(slide)}/${level}/${col}/${row}`;

export async function fetchFacts(slide: Slide, tile: TileAddress, signal: AbortSignal): Promise<TileFacts> {
  return (await fetchJson(addressOf(slide, tile), { signal })) as TileFacts;
}

/** Has the server paint the tile once more and compare; it paints it first where need be. */
export async function paintAgain(slide: Slide, tile: TileAddress): Promise<Repainted> {
  return (await inTurn(undefined, () => sendJson("POST", addressOf(slide, tile), null))) as Repainted;
}

/** States of a rectangle of tiles of one level, given in any order. */
export async function fetchStates(
  slide: Slide,
  tiles: readonly TileAddress[],
  signal: AbortSignal,
): Promise<TileState[]> {
  const span = (values: number[]): string => `${Math.min(...values)}-${Math.max(...values)}`;
  const cols = span(tiles.map((tile) => tile.col));
  const rows = span(tiles.map((tile) => tile.row));
  const answer = await fetchJson(`${base(slide)}/${tiles[0]?.level}?cols=${cols}&rows=${rows}`, { signal });
  return (answer as { tiles: TileState[] }).tiles;
}
