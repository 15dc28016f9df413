/**
 * Turns at waiting for the server. A browser has six connections to a server for all its tabs: were all of them taken by
 * requests that wait for painting, pictures that are there would queue behind them. So all tabs together wait on a few.
 */

import { TurnBook } from "./turnBook.js";

/** Requests of all tabs that wait at the same time; the other connections are for what is answered at once. */
export const TURNS = 4;
/** The same for each tab, where a browser has no shared workers. */
const OWN_TURNS = 2;
const ALIVE_MS = 20_000;

export type FromTab = { kind: "ask" | "done"; id: number } | { kind: "alive" | "leave" };
/** The request that may go. */
export type ToTab = number;

/** Where turns are given out: `ask` and `done` are sent, `granted` is called. */
export interface TurnSource {
  granted: (id: number) => void;
  ask(id: number): void;
  done(id: number): void;
}

export class Turns {
  readonly #granted = new Map<number, () => void>();
  #source: TurnSource;
  #last = 0;

  /** spare: takes over for what waits, should `source` turn out not to work. */
  constructor(source: (failed: () => void) => TurnSource, spare: () => TurnSource) {
    this.#source = source(() => {
      this.#use(spare());
      for (const id of this.#granted.keys()) this.#source.ask(id);
    });
    this.#use(this.#source);
  }

  /** Does `work` when it is its turn. Rejects with an AbortError where the signal comes first. */
  async take<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const id = (this.#last += 1);
    try {
      await this.#turn(id, signal);
      return await work();
    } finally {
      this.#granted.delete(id);
      this.#source.done(id);
    }
  }

  #turn(id: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = (): void => reject(new DOMException("given up", "AbortError"));
      if (signal?.aborted) return stop();
      signal?.addEventListener("abort", stop, { once: true });
      this.#granted.set(id, () => {
        signal?.removeEventListener("abort", stop);
        this.#granted.delete(id);
        resolve();
      });
      this.#source.ask(id);
    });
  }

  #use(source: TurnSource): void {
    this.#source = source;
    source.granted = (id) => this.#granted.get(id)?.();
  }
}

/** Turns of this page alone. */
export function ownTurns(limit: number): TurnSource {
  const book = new TurnBook<string>(limit, (_page, id) => source.granted(id));
  const source: TurnSource = {
    granted: () => {},
    ask: (id) => book.ask("page", id),
    done: (id) => book.done("page", id),
  };
  return source;
}

/** Turns shared with all tabs of the browser. failed: is called where they cannot be. */
function sharedTurns(failed: () => void): TurnSource {
  const worker = new SharedWorker(new URL("static/dist/turns.js", document.baseURI), "everslide turns");
  const { port } = worker;
  const say = (message: FromTab): void => port.postMessage(message);
  const source: TurnSource = {
    granted: () => {},
    ask: (id) => say({ kind: "ask", id }),
    done: (id) => say({ kind: "done", id }),
  };
  port.onmessage = ({ data }: MessageEvent<ToTab>) => source.granted(data);
  worker.addEventListener("error", failed);
  setInterval(() => say({ kind: "alive" }), ALIVE_MS);
  addEventListener("pagehide", () => say({ kind: "leave" }));
  return source;
}

let turns: Turns | null = null;

/** Does what waits for the server's painter, when it is this page's turn. */
export function inTurn<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const spare = (): TurnSource => ownTurns(OWN_TURNS);
  turns ??= new Turns(typeof SharedWorker === "undefined" ? spare : sharedTurns, spare);
  return turns.take(signal, work);
}
