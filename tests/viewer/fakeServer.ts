/**
 * A server that paints slowly and procedurally, for tests of the page: same HTTP interface, no Python, no model.
 *
 * A tile is a sum of waves; a coarser level lacks the short ones, so an enlarged ancestor is a blurred tile. One tile is
 * painted at a time, as the real server does.
 */

import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import { crc32 as crcOf, deflateSync } from "node:zlib";

export const STATIC_DIR = join(process.cwd(), "viewer", "static");

/** What the page promises to need and no more. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'self'",
  "img-src 'self' blob: data:",
  "connect-src 'self'",
  "worker-src 'self' blob:",
].join("; ");

const TYPES: Record<string, string> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript",
  css: "text/css",
  svg: "image/svg+xml",
  txt: "text/plain",
};

interface FakeSlide {
  id: string;
  title: string;
  width: number;
  height: number;
  min_level: number;
  max_level: number;
  root_level: number;
  unbounded: boolean;
}

const SLIDES: FakeSlide[] = [
  {
    id: "demo",
    title: "Demo slide",
    width: 131072,
    height: 98304,
    min_level: 0,
    max_level: 17,
    root_level: 10,
    unbounded: false,
  },
  {
    id: "endless",
    title: "Endless slide",
    width: 2 ** 32,
    height: 2 ** 32,
    min_level: 25,
    max_level: 32,
    root_level: 25,
    unbounded: true,
  },
];

/** A tile that is waited for; gone: by nobody any more. */
interface Job {
  readonly gone: () => boolean;
  readonly key: string;
  readonly level: number;
}

export class FakeServer {
  readonly painted = new Set<string>();
  /** Every request, as method and path with query. */
  readonly requests: string[] = [];
  /** Where viewers said that they look. */
  readonly viewports: { viewer: string; level: number; x: number; y: number; width: number; height: number }[] = [];
  /** Changes with the weights of a real server. */
  fingerprint = "f00d";
  /** Tiles to refuse with a JSON error, by `level/col_row`. */
  readonly refused = new Set<string>();
  /** Tiles whose previews are not answered while they are listed here. */
  readonly withheld = new Set<string>();
  /** While it is set, no tile is finished and none is begun. */
  held = false;
  /** No more tiles than so many are finished. */
  most = Infinity;
  #server: Server | null = null;
  readonly #sockets = new Set<Socket>();
  #port = 0;
  readonly #waiting: Job[] = [];
  #now: Job | null = null;

  constructor(readonly paintMs: number) {}

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Listens: on a free port first, on the same one after `stop`. */
  async start(): Promise<void> {
    const server = createServer((request, response) => void this.#answer(request, response));
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Goes away as a killed server does: in the middle of its answers. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    this.requests.push(`${request.method} ${url.pathname}${url.search}`);
    response.setHeader("Content-Security-Policy", CONTENT_SECURITY_POLICY);
    const api = /^\/api\/slides(?:\/([^/]+))?(\/progress)?$/.exec(url.pathname);
    const tile = /^\/slides\/([^/]+)_files\/(\d+)\/(\d+)_(\d+)\.jpeg$/.exec(url.pathname);
    if (url.pathname === "/" || url.pathname.startsWith("/static/")) await sendFile(url.pathname, response);
    else if (api?.[2]) sendJson(response, this.#progress());
    else if (api?.[1]) sendJson(response, this.#metadata(SLIDES.find((slide) => slide.id === api[1]) as FakeSlide));
    else if (api) sendJson(response, { slides: SLIDES.map((slide) => this.#metadata(slide)), set_aside: [] });
    else if (/\/annotations$/.test(url.pathname)) sendJson(response, { type: "FeatureCollection", features: [] });
    else if (/\/tours$/.test(url.pathname)) sendJson(response, { tours: [] });
    else if (/\/viewport$/.test(url.pathname)) await this.#viewport(request, response);
    else if (tile) await this.#tile(tile, url.searchParams.has("preview"), response);
    else sendError(response, 404, url.pathname);
  }

  async #viewport(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = "";
    for await (const part of request) text += String(part);
    this.viewports.push(JSON.parse(text));
    sendJson(response, { dropped: 0 });
  }

  #metadata(slide: FakeSlide): object {
    return {
      ...slide,
      seed: 7,
      model: "waves",
      steps: null,
      guidance: 1,
      organ: null,
      organ_cases: null,
      organ_sections: null,
      organ_drawn: null,
      regions: [],
      mpp: 0.5,
      magnification: 20,
      tile_size: 256,
      overlap: 0,
      format: "jpeg",
      fingerprint: this.fingerprint,
      version: "0.0.0",
      synthetic: true,
      notice: "SYNTHETIC - not for diagnosis",
      dzi: `/slides/${slide.id}.dzi`,
      tiles: `/slides/${slide.id}_files/{level}/{col}_{row}.jpeg`,
    };
  }

  async #tile(match: RegExpExecArray, preview: boolean, response: ServerResponse): Promise<void> {
    const slide = SLIDES.find((known) => known.id === match[1]) as FakeSlide;
    const [level, col, row] = [Number(match[2]), Number(match[3]), Number(match[4])];
    const at = (index: number, l: number): number => Math.floor(index / 2 ** (level - l));
    const key = (l: number): string => `${slide.id}/${l}/${at(col, l)}_${at(row, l)}`;
    if (this.refused.has(`${level}/${col}_${row}`)) return sendError(response, 404, match[0]);
    let detail = level;
    if (preview) {
      while (this.withheld.has(`${level}/${col}_${row}`) && !response.destroyed) await pause(20);
      while (detail > 0 && !this.painted.has(key(detail))) detail -= 1;
    } else {
      let gone = false;
      response.on("close", () => (gone = !response.writableEnded));
      for (let above = Math.min(slide.root_level, level); above <= level; above++) {
        if (!this.painted.has(key(above))) await this.#paint(() => gone, key(above));
      }
      if (gone) return;
    }
    response.setHeader("X-Everslide-State", detail === level ? "final" : "preview");
    response.setHeader("Cache-Control", preview ? "no-store" : "max-age=3600");
    response.setHeader("Content-Type", "image/png");
    response.end(picture(slide, level, col, row, detail));
  }

  #progress(): object {
    const painting = this.#now ?? this.#next();
    return {
      waiting: this.#waiting.length,
      painting: painting ? { level: painting.level } : null,
      painted: 0,
      seconds_per_tile: 0.2,
    };
  }

  /** As the real server: one tile at a time, and of those that wait the coarsest first. */
  async #paint(gone: () => boolean, key: string): Promise<void> {
    const job = { gone, key, level: Number(key.split("/")[1]) };
    this.#waiting.push(job);
    while (this.#now || this.held || this.#next() !== job) {
      if (gone() || this.painted.has(key)) return this.#leave(job);
      await pause(5);
    }
    this.#now = job;
    await pause(this.paintMs);
    while ((this.held || this.painted.size >= this.most) && !gone()) await pause(20);
    this.#now = null;
    this.painted.add(key);
    this.#leave(job);
  }

  /** The one to be painted now. */
  #next(): Job | undefined {
    return this.#waiting.filter((job) => !job.gone()).sort((a, b) => a.level - b.level)[0];
  }

  #leave(job: Job): void {
    this.#waiting.splice(this.#waiting.indexOf(job), 1);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function sendFile(path: string, response: ServerResponse): Promise<void> {
  const name = path === "/" ? "index.html" : path.slice("/static/".length);
  try {
    const content = await readFile(join(STATIC_DIR, name));
    response.setHeader("Content-Type", TYPES[name.split(".").at(-1) ?? ""] ?? "application/octet-stream");
    response.end(content);
  } catch {
    sendError(response, 404, path);
  }
}

function sendJson(response: ServerResponse, content: unknown): void {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(content));
}

function sendError(response: ServerResponse, status: number, found: string): void {
  response.statusCode = status;
  sendJson(response, { error: { status, expected: "a tile of the slide", found, do: "Go to another place." } });
}

/** Pixels of a tile, pink and violet waves no shorter than two pixels of level `detail`. */
function picture(slide: FakeSlide, level: number, col: number, row: number, detail: number): Buffer {
  const l0PerPx = 2 ** (slide.max_level - level);
  const shortest = 2 * 2 ** (slide.max_level - detail);
  const side = 256;
  const sums = { x: new Float64Array(side), y: new Float64Array(side) };
  for (let wave = 2 ** 18, n = 0; wave >= Math.max(2, shortest); wave /= 3.3, n++) {
    for (let i = 0; i < side; i++) {
      sums.x[i]! += Math.sin((2 * Math.PI * (((col * side + i) * l0PerPx) % wave)) / wave + n) * 0.5;
      sums.y[i]! += Math.cos((2 * Math.PI * (((row * side + i) * l0PerPx) % wave)) / wave + 2 * n) * 0.5;
    }
  }
  const rows = Buffer.alloc(side * (1 + 3 * side));
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const value = Math.sin(sums.x[x]! * 2 + sums.y[y]! * 2);
      const at = y * (1 + 3 * side) + 1 + 3 * x;
      rows[at] = 205 + 25 * value;
      rows[at + 1] = 150 + 60 * value;
      rows[at + 2] = 195 + 20 * value;
    }
  }
  return png(side, rows);
}

function png(side: number, rows: Buffer): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const parts = [chunk("IHDR", header), chunk("IDAT", deflateSync(rows, { level: 1 })), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), ...parts]);
}

function chunk(type: string, content: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), content]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(content.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crcOf(body), body.length + 4);
  return framed;
}
