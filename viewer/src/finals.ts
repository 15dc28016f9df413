/** Final tiles, kept as they came from the server: the least recently used go first once they outgrow the bound. */

export class Finals {
  readonly #maxBytes: number;
  readonly #blobs = new Map<string, Blob>();
  #bytes = 0;

  /** maxBytes: how much may be kept, counted in encoded bytes. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#blobs.size;
  }

  has(key: string): boolean {
    return this.#blobs.has(key);
  }

  get(key: string): Blob | undefined {
    const blob = this.#blobs.get(key);
    if (blob) {
      // A Map keeps the order of insertion: inserting again makes this the youngest.
      this.#blobs.delete(key);
      this.#blobs.set(key, blob);
    }
    return blob;
  }

  put(key: string, blob: Blob): void {
    this.#bytes += blob.size - (this.#blobs.get(key)?.size ?? 0);
    this.#blobs.delete(key);
    this.#blobs.set(key, blob);
    for (const [oldest, old] of this.#blobs) {
      if (this.#bytes <= this.#maxBytes || this.#blobs.size === 1) break;
      this.#blobs.delete(oldest);
      this.#bytes -= old.size;
    }
  }
}
