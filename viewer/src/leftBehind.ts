/** What slides that are not shown now still have to save: found again when they are, and counted until it is saved. */

export interface Unsaved {
  readonly unsaved: number;
  /** Another slide is shown: nothing is shown any more, but what is unsaved goes on being saved. */
  close(): void;
  /** It is shown again. */
  reopen(): void;
}

export class LeftBehind<T extends Unsaved> {
  readonly #stores = new Map<string, T>();

  get unsaved(): number {
    return [...this.#stores.values()].reduce((sum, store) => sum + store.unsaved, 0);
  }

  /** Closes a store, and keeps it while it has something to save. */
  leave(id: string, store: T): void {
    store.close();
    for (const [other, kept] of this.#stores) if (kept.unsaved === 0) this.#stores.delete(other);
    if (store.unsaved > 0) this.#stores.set(id, store);
  }

  /** The store that was left with something to save, opened again; null where there is none. */
  take(id: string): T | null {
    const store = this.#stores.get(id);
    this.#stores.delete(id);
    if (!store || store.unsaved === 0) return null;
    store.reopen();
    return store;
  }
}
