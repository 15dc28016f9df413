/** Whether the server answers. Everybody who talks to it reports here; waits grow while it is gone. */

import { ConnectionError, isAbort, ServerError } from "./api.js";

const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 5000;
const NEVER = new AbortController().signal;

export class Connection {
  #failures = 0;
  /** The last failure, of use while not `up`. */
  lastError: unknown = null;
  /** Called when the server went away (false) or came back (true). */
  onChange: (up: boolean) => void = () => {};

  get up(): boolean {
    return this.#failures === 0;
  }

  /** How long to wait before asking again. */
  get waitMs(): number {
    return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.max(0, this.#failures - 1));
  }

  answered(): void {
    const wasUp = this.up;
    this.#failures = 0;
    if (!wasUp) this.onChange(true);
  }

  /**
   * Repeats a question until the server answers it. Throws what the server refuses for good, and an AbortError when
   * `signal` comes first.
   */
  async insist<T>(question: () => Promise<T>, signal: AbortSignal = NEVER): Promise<T> {
    for (;;) {
      try {
        const answer = await question();
        this.answered();
        return answer;
      } catch (error) {
        if (isAbort(error) || !this.failed(error)) throw error;
        await pause(this.waitMs, signal);
      }
    }
  }

  /** Counts a failure that asking again may cure; returns whether this was one. */
  failed(error: unknown): boolean {
    const curable = error instanceof ConnectionError || (error instanceof ServerError && error.again);
    if (!curable) {
      this.answered();
      return false;
    }
    this.lastError = error;
    const wasUp = this.up;
    this.#failures = Math.min(this.#failures + 1, 8);
    if (wasUp) this.onChange(false);
    return true;
  }
}

/** Resolves after `ms`, rejects with an AbortError when the signal comes first. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(new DOMException("given up", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}
