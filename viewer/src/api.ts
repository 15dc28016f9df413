/** The server's HTTP interface. Every failure becomes a ServerError or a ConnectionError. */

import { writeExact } from "./exactJson.js";
import type { Extent, TileAddress } from "./geometry.js";
import type { OrganFacts } from "./organ.js";
import type { SamplingConfig } from "./sampling.js";
import type { SetAside } from "./setAside.js";
import { inTurn } from "./turns.js";

/** Metadata of a slide, as the server gives it. The seed is text: it may not fit a number. */
export interface Slide extends Extent, SamplingConfig, OrganFacts {
  readonly id: string;
  readonly title: string;
  /** Made while the server ran: may be renamed and deleted. */
  readonly made: boolean;
  readonly seed: string;
  readonly model: string;
  readonly unbounded: boolean;
  readonly fingerprint: string;
  readonly version: string;
  readonly notice: string;
  readonly tiles: string;
}

/** What a link and an exported picture say of the slide they come from. */
export type Provenance = Pick<
  Slide,
  | "id"
  | "seed"
  | "model"
  | "steps"
  | "guidance"
  | "organ"
  | "organ_cases"
  | "organ_sections"
  | "regions"
  | "fingerprint"
>;

/** What the server is painting, for whomever. */
export interface Progress {
  readonly waiting: number;
  readonly painting: TileAddress | null;
  readonly seconds_per_tile: number | null;
}

/** An answered tile: `final` is what it stays, otherwise it is an enlarged ancestor. */
export interface TileAnswer {
  readonly blob: Blob;
  readonly final: boolean;
}

/** The server answered, and refused. `again`: asking again later may help. */
export class ServerError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly remedy: string,
  ) {
    super(message);
    this.name = "ServerError";
  }

  /** Not of a full disk or a file that cannot be opened (507): somebody must see to it first. */
  get again(): boolean {
    return (this.status >= 500 && this.status !== 507) || this.status === 429 || this.status === 408;
  }
}

/** No answer at all: the server is gone or the network is. */
export class ConnectionError extends Error {
  constructor() {
    super("no answer from the server");
    this.name = "ConnectionError";
  }
}

/** All slides; and what is stored of further ones and cannot be read. */
export async function fetchSlides(): Promise<{ slides: Slide[]; setAside: SetAside[] }> {
  const listed = (await fetchJson("/api/slides")) as { slides: Slide[]; set_aside: SetAside[] };
  return { slides: listed.slides.map(belowPage), setAside: listed.set_aside };
}

/** One slide. */
export async function fetchSlide(id: string): Promise<Slide> {
  return belowPage((await fetchJson(`/api/slides/${encodeURIComponent(id)}`)) as Slide);
}

/** The server may be reached below another path than it knows of: its own part of the address is kept. */
function belowPage(slide: Slide): Slide {
  return { ...slide, tiles: slide.tiles.slice(slide.tiles.lastIndexOf("/slides/")) };
}

/** An address of the server, "/api/...", as one below the page's own path, which a proxy may have chosen. */
export function here(url: string): string {
  return url.replace(/^\/+/, "");
}

/** The state of painting of one slide. */
export async function fetchProgress(id: string): Promise<Progress> {
  return (await fetchJson(`/api/slides/${encodeURIComponent(id)}/progress`)) as Progress;
}

/** The address of a tile; it carries the fingerprint, so that a browser may keep it for good. */
export function tileUrl(slide: Slide, tile: TileAddress): string {
  const path = slide.tiles
    .replace("{level}", String(tile.level))
    .replace("{col}", String(tile.col))
    .replace("{row}", String(tile.row));
  return `${path}?v=${encodeURIComponent(slide.fingerprint)}`;
}

/** Answers at once: the final tile where the server has it, else an enlarged ancestor. */
export function fetchPreview(slide: Slide, tile: TileAddress, signal: AbortSignal): Promise<TileAnswer> {
  return fetchTile(`${tileUrl(slide, tile)}&preview=1`, signal);
}

/** Answers when the tile is painted. */
export function fetchFinal(slide: Slide, tile: TileAddress, signal: AbortSignal): Promise<TileAnswer> {
  return inTurn(signal, () => fetchTile(tileUrl(slide, tile), signal));
}

/** A picture that the server may have to paint. */
export function fetchPicture(url: string, signal: AbortSignal): Promise<Blob> {
  return inTurn(signal, async () => body((await answer(url, { signal })).blob()));
}

async function fetchTile(url: string, signal: AbortSignal): Promise<TileAnswer> {
  const response = await answer(url, { signal });
  return { blob: await body(response.blob()), final: response.headers.get("X-Everslide-State") !== "preview" };
}

/** An answer in JSON. */
export async function fetchJson(url: string, init: RequestInit = {}): Promise<unknown> {
  const response = await answer(url, { headers: { Accept: "application/json" }, ...init });
  return parseJson(await body(response.text()));
}

/** Sends JSON (null sends nothing) and reads the answer; null where there is none. */
export async function sendJson(
  method: "POST" | "PUT" | "PATCH" | "DELETE",
  url: string,
  content: unknown,
): Promise<unknown> {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  const response = await answer(url, { method, headers, body: content === null ? null : writeExact(content) });
  const text = await body(response.text());
  return text ? parseJson(text) : null;
}

/**
 * Keeps one thing (null deletes it) at its own address, if nobody changed it since it had this version; without one, in any
 * case. Returns its new version, if the server gives one.
 */
export async function sendVersion(url: string, content: unknown, version: string | undefined): Promise<string | null> {
  const headers: Record<string, string> = { Accept: "application/json", "Content-Type": "application/json" };
  if (version !== undefined) headers["If-Match"] = `"${version}"`;
  const init = content === null ? { method: "DELETE" } : { method: "PUT", body: writeExact(content) };
  const response = await answer(url, { ...init, headers });
  await body(response.text());
  return /^(?:W\/)?"(.+)"$/.exec(response.headers.get("ETag") ?? "")?.[1] ?? null;
}

/** An answer in text, to a file that is sent as it is or to a question. */
export async function exchangeText(url: string, init: RequestInit): Promise<string> {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  return body((await answer(url, { headers, ...init })).text());
}

/** An answer that is a file. */
export async function fetchBlob(url: string): Promise<Blob> {
  return body((await answer(url, {})).blob());
}

/** JSON whose seeds, integers up to 2^64, are kept as text: a number would lose their last digits. */
export function parseJson(text: string): unknown {
  return JSON.parse(text.replace(/("seed"\s*:\s*)(\d+)/g, '$1"$2"'));
}

async function answer(url: string, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(here(url), init);
  } catch (error) {
    throw connectionError(error);
  }
  if (!response.ok) throw await refusal(response);
  if (response.status !== 204 && response.headers.get("Content-Type")?.startsWith("text/html"))
    throw new ServerError(
      response.status,
      "What answers is not Everslide, but a page, perhaps to sign in.",
      "Sign in again in another tab, then go on here.",
    );
  return response;
}

async function body<T>(reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    throw connectionError(error);
  }
}

function connectionError(error: unknown): unknown {
  return error instanceof DOMException && error.name === "AbortError" ? error : new ConnectionError();
}

const FOREIGN: Record<number, readonly [string, string]> = {
  413: [
    "This is more than the server, or a proxy before it, takes at once.",
    "Send less at a time. Who runs the server can allow up to 128 MB in its proxy.",
  ],
  502: ["The proxy gets no answer from the server.", "The server may be starting."],
  504: ["The proxy waited in vain for the server's answer.", "Who runs the server can let its proxy wait longer."],
};

async function refusal(response: Response): Promise<ServerError> {
  const fallback = `${response.status} ${response.statusText}`.trim();
  try {
    const { error } = (await response.json()) as { error: { expected?: string; found?: string; do?: string } };
    const message = error.found ? `Found ${error.found}, expected ${error.expected ?? "something else"}.` : fallback;
    return new ServerError(response.status, message, error.do ?? "");
  } catch {
    // Not this server's own words: of a proxy before it, or of what reads requests for it.
    const [message, remedy] = FOREIGN[response.status] ?? [`The server answered ${fallback}.`, ""];
    return new ServerError(response.status, message, remedy);
  }
}

/** Whether a request was given up on purpose. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
