/**
 * From preview to final: decides which tiles the view needs, has them painted, and swaps them in without a flash.
 *
 * OpenSeadragon holds the preview as a tile's original data; the final tile is set in `tile-invalidated`, which starts from
 * the original every time, so the finals are kept here. Ancestors of what is seen are asked for first: they are painted on
 * the way anyhow, and every one of them sharpens the previews below it.
 */

import OpenSeadragon from "openseadragon";
import { fetchFinal, type Slide } from "./api.js";
import type { Connection } from "./connection.js";
import { type Ancestor, enlarge } from "./enlarge.js";
import { Finals } from "./finals.js";
import { type Frame, isAncestor, type L0Rect, levelAt, meets, meetsFrame, MIN_PIXEL_RATIO } from "./geometry.js";
import { paintingOrder, parentOf, type TileAddress, tileKey, tileRect, tilesMeeting } from "./geometry.js";
import { PaintQueue } from "./paintQueue.js";
import { addressOf, Previews } from "./previews.js";
import { ViewportPost } from "./viewportPost.js";

const FINALS_BYTES = 96 * 2 ** 20;
const PAINT_REQUESTS = 4;
/** A picture that could not be decoded so often is not tried again. */
const MOST_LOST = 5;

/** What OpenSeadragon shows of a tile: painted while it was looked at, painted before, asked for, or enlarged only. */
export type TileState = "painted" | "cached" | "waiting" | "preview";

/** Where somebody looks. */
export interface Look {
  /** The box around what is seen. */
  readonly view: L0Rect;
  /** What is seen; less than the box where the view is turned. */
  readonly frame: Frame;
  readonly devicePxPerL0Px: number;
}

export interface PaintingOptions {
  readonly viewer: OpenSeadragon.Viewer;
  readonly slide: Slide;
  readonly connection: Connection;
  /** Where the view is going (target) or is at this moment, or null while no slide is open. */
  readonly look: (target: boolean) => Look | null;
  readonly onChange: () => void;
  readonly onRefused: (error: unknown) => void;
}

/** A tile that OpenSeadragon holds. */
interface Held {
  readonly tile: OpenSeadragon.Tile;
  readonly originalIsFinal: boolean;
  shownFinal: boolean;
  /** What gives a better preview than the one it was loaded with. */
  sharper: Blob | Ancestor | null;
  /** The picture that was shown when the final one was handed over, null where none was: it is shown until the swap. */
  before: OpenSeadragon.CacheRecord | null;
  /** Swaps of the final picture that came to nothing. */
  lost: number;
}

export class Painting {
  readonly previews: Previews;
  readonly queue: PaintQueue;
  readonly finals = new Finals(FINALS_BYTES);
  readonly #options: PaintingOptions;
  readonly #viewport: ViewportPost;
  readonly #held = new Map<string, Held>();
  readonly #reloads = new Map<string, number>();
  readonly #toSharpen = new Map<string, TileAddress>();
  readonly #end = new AbortController();
  #sharpening = false;
  #stamp = 0;
  #done = 0;

  constructor(options: PaintingOptions) {
    this.#options = options;
    const { slide, connection, onRefused, viewer } = options;
    this.#viewport = new ViewportPost(slide);
    this.previews = new Previews({
      slide,
      finals: this.finals,
      connection,
      onAnswer: (tile, final) => this.#hold(tile, final),
      onRefused,
    });
    this.queue = new PaintQueue({
      limit: PAINT_REQUESTS,
      connection,
      ask: async (tile, signal) => (await fetchFinal(slide, tile, signal)).blob,
      onFinal: (tile, blob) => this.#arrived(tile, blob),
      onRefused: (_tile, error) => onRefused(error),
      onChange: options.onChange,
    });
    viewer.addHandler("tile-invalidated", this.#onInvalidated);
    viewer.addHandler("tile-loaded", this.#onLoaded);
    viewer.addHandler("tile-unloaded", this.#onUnloaded);
    viewer.addHandler("tile-load-failed", this.#onFailed);
  }

  /** Stops asking and listening: another slide is opened. */
  close(): void {
    this.queue.want([]);
    this.#viewport.close();
    this.#end.abort();
    const { viewer } = this.#options;
    viewer.removeHandler("tile-invalidated", this.#onInvalidated);
    viewer.removeHandler("tile-loaded", this.#onLoaded);
    viewer.removeHandler("tile-unloaded", this.#onUnloaded);
    viewer.removeHandler("tile-load-failed", this.#onFailed);
  }

  /** Tiles of the drawn level in view, in painting order. target: where the view is going, else where it is now. */
  tilesInView(target = true): TileAddress[] {
    const look = this.#options.look(target);
    if (!look) return [];
    const { slide } = this.#options;
    const level = levelAt(slide, look.devicePxPerL0Px, MIN_PIXEL_RATIO);
    const tiles = tilesMeeting(slide, level, look.view);
    const seen =
      look.frame.rotation === 0 ? tiles : tiles.filter((tile) => meetsFrame(tileRect(slide, tile), look.frame));
    return seen.sort(paintingOrder(slide, look.view));
  }

  /** Whether OpenSeadragon shows this tile as painted. */
  isShownFinal(tile: TileAddress): boolean {
    return this.#held.get(tileKey(tile))?.shownFinal ?? false;
  }

  /** Whether the frame just drawn has something of every tile that it shows: at least its preview. */
  isFrameFull(): boolean {
    const held = this.tilesInView(false).map((tile) => this.#held.get(tileKey(tile)));
    return held.length > 0 && held.every((one) => one !== undefined && this.#isDrawn(one.tile));
  }

  /** OpenSeadragon passes over a loaded tile whose picture is not decoded, without a word. */
  #isDrawn(tile: OpenSeadragon.Tile): boolean {
    if (!tile.loaded || !tile.beingDrawn) return false;
    const picture = tile.getCache();
    return picture?.loaded && this.#options.viewer.drawer.getSupportedDataFormats().includes(picture.type);
  }

  stateOf(tile: TileAddress): TileState {
    const held = this.#held.get(tileKey(tile));
    if (held?.shownFinal) return held.originalIsFinal ? "cached" : "painted";
    return this.queue.isWaiting(tile) ? "waiting" : "preview";
  }

  /** Whether there are tiles in view and all of them are shown as painted. */
  isViewFinal(): boolean {
    const tiles = this.tilesInView();
    return tiles.length > 0 && tiles.every((tile) => this.isShownFinal(tile));
  }

  /** How many tiles arrived since nothing was waiting. */
  get done(): number {
    return this.#done;
  }

  /** Asks for what the view lacks and gives up what left it. Call after every change of the view. */
  update(): void {
    const look = this.#options.look(true);
    if (!look) return;
    const { slide } = this.#options;
    this.#viewport.post(levelAt(slide, look.devicePxPerL0Px, MIN_PIXEL_RATIO), look.view);
    this.previews.keepOnly((tile) => meets(tileRect(slide, tile), look.view));
    const wanted = new Map<string, TileAddress>();
    for (const tile of this.tilesInView()) {
      const held = this.#held.get(tileKey(tile));
      if (!held || held.shownFinal) continue;
      if (this.finals.has(tileKey(tile))) {
        // Its swap may have been overtaken by another one.
        if (!held.tile.processing) this.#swap(tileKey(tile));
        continue;
      }
      wanted.set(tileKey(tile), tile);
      this.#addAncestors(tile, wanted);
    }
    if (wanted.size === 0 && this.queue.waiting === 0) this.#done = 0;
    this.queue.want([...wanted.values()].sort(paintingOrder(slide, look.view)));
  }

  /** Fetches anew what is only a preview: something coarse was painted that this queue did not ask for. */
  sharpen(): void {
    for (const tile of this.tilesInView()) {
      const held = this.#held.get(tileKey(tile));
      if (held && !held.shownFinal) this.#toSharpen.set(tileKey(tile), tile);
    }
    void this.#sharpen();
  }

  #addAncestors(tile: TileAddress, wanted: Map<string, TileAddress>): void {
    const { slide } = this.#options;
    const coarsest = Math.max(slide.root_level, slide.min_level);
    for (let above = parentOf(tile); above.level >= coarsest; above = parentOf(above)) {
      const key = tileKey(above);
      if (wanted.has(key) || this.finals.has(key)) return;
      wanted.set(key, above);
    }
  }

  #hold(tile: OpenSeadragon.Tile, final: boolean): void {
    const held = { tile, originalIsFinal: final, shownFinal: final, sharper: null, before: null, lost: 0 };
    this.#held.set(tileKey(addressOf(tile)), held);
  }

  #arrived(tile: TileAddress, blob: Blob): void {
    this.#done += 1;
    this.finals.put(tileKey(tile), blob);
    this.#swap(tileKey(tile));
    void this.#sharpenBelow(tile, blob);
    this.update();
  }

  /** Enlarges what was painted into the previews below it. */
  async #sharpenBelow(tile: TileAddress, blob: Blob): Promise<void> {
    const isWorse = (below: TileAddress): boolean => {
      const held = this.#held.get(tileKey(below));
      if (!held || held.shownFinal || this.finals.has(tileKey(below)) || !isAncestor(tile, below)) return false;
      return !(held.sharper && "tile" in held.sharper) || held.sharper.tile.level < tile.level;
    };
    if (!this.tilesInView().some(isWorse)) return;
    const ancestor: Ancestor = { tile, picture: await createImageBitmap(blob) };
    for (const below of this.tilesInView().filter(isWorse)) {
      const held = this.#held.get(tileKey(below));
      if (held) held.sharper = ancestor;
      this.#swap(tileKey(below));
    }
  }

  /** Fetches better previews one after the other, of what is still in view; a failure leaves the old one. */
  async #sharpen(): Promise<void> {
    if (this.#sharpening) return;
    this.#sharpening = true;
    try {
      for (const [key, tile] of this.#toSharpen) {
        this.#toSharpen.delete(key);
        const held = this.#held.get(key);
        if (!held || held.shownFinal || this.finals.has(key)) continue;
        if (!this.tilesInView().some((seen) => tileKey(seen) === key)) continue;
        const answer = await this.previews.refresh(tile, this.#end.signal);
        if (!answer.final) held.sharper = answer.blob;
        this.#swap(key);
        if (answer.final) this.update();
      }
    } catch {
      // Not reported: the paint request that follows meets the same server, and reports it.
      this.#toSharpen.clear();
    } finally {
      this.#sharpening = false;
    }
  }

  /** Swaps in what is better than the tile's original. A tile that is being loaded is left alone: `#onLoaded` sees to it. */
  #swap(key: string): void {
    const held = this.#held.get(key);
    // Overtaken by a swap, OpenSeadragon's first load would leave the tile loaded but without a picture: a hole.
    if (!held?.tile.loaded || this.#end.signal.aborted) return;
    // OpenSeadragon ignores a second change with the same millisecond.
    this.#stamp = Math.max(this.#stamp + 1, OpenSeadragon.now());
    void this.#options.viewer.world
      .requestTileInvalidateEvent([held.tile], this.#stamp, true)
      .then(() => this.#settle(held));
  }

  /**
   * After a load or a swap: is there a picture, and is it the final one? OpenSeadragon says nothing where it could not decode
   * one: it goes on showing the picture before, or counts a tile as loaded that has none and never will.
   */
  #settle(held: Held): void {
    const { tile } = held;
    if (this.#end.signal.aborted || tile.processing || !tile.loaded) return;
    if (!tile.getCache()?.loaded) {
      tile.exists = false;
      tile.unload(true);
    } else if (held.before && !held.shownFinal) {
      held.shownFinal = tile.getCache() !== held.before;
      held.before = null;
      if (held.shownFinal) held.sharper = null;
      else held.lost += 1;
      this.#options.onChange();
      if (!held.shownFinal && held.lost < MOST_LOST) this.update();
    }
  }

  // Never waits: it also runs while a tile is first loaded.
  readonly #onInvalidated = async (event: OpenSeadragon.TileInvalidatedEvent): Promise<void> => {
    const key = tileKey(addressOf(event.tile));
    const held = this.#held.get(key);
    if (!held || held.tile !== event.tile || held.originalIsFinal) return;
    const final = this.finals.get(key);
    held.shownFinal = false;
    held.before = final ? event.tile.getCache() : null;
    const better = final ?? held.sharper;
    if (better && "tile" in better) {
      await event.setData(enlarge(this.#options.slide, better, addressOf(event.tile)), "context2d");
    } else if (better) {
      await event.setData(better, "rasterBlob");
    }
  };

  readonly #onLoaded = (event: OpenSeadragon.TileLoadedEvent): void => {
    const key = tileKey(addressOf(event.tile));
    void event.promise.then(() => {
      const held = this.#held.get(key);
      if (held) this.#settle(held);
      if (held && !held.shownFinal && (held.sharper || this.finals.has(key))) this.#swap(key);
      this.update();
    });
  };

  readonly #onUnloaded = (event: OpenSeadragon.TileUnloadedEvent): void => {
    const key = tileKey(addressOf(event.tile));
    if (this.#held.get(key)?.tile === event.tile) this.#held.delete(key);
    // OpenSeadragon unloads what it could not decode as a tile that does not exist, and would never ask for it again.
    const reloads = this.#reloads.get(key) ?? 0;
    if (event.tile.exists || reloads === MOST_LOST) return;
    this.#reloads.set(key, reloads + 1);
    this.#revive(event.tile);
  };

  readonly #onFailed = (event: OpenSeadragon.TileLoadFailedEvent): void => {
    // OpenSeadragon declares a failed tile dead right after this event; it must live to be asked for again.
    if (this.previews.isRefused(addressOf(event.tile))) return;
    queueMicrotask(() => this.#revive(event.tile));
  };

  #revive(tile: OpenSeadragon.Tile): void {
    tile.exists = true;
    this.#options.viewer.forceRedraw();
  }
}
