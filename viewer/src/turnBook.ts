/** Who may wait for the server at this moment: so many requests at a time, and no tab more than its share of them. */

export class TurnBook<Tab> {
  readonly #limit: number;
  readonly #grant: (tab: Tab, id: number) => void;
  /** In the order in which they got a turn, the longest ago first. */
  readonly #waiting = new Map<Tab, number[]>();
  readonly #held = new Map<Tab, Set<number>>();

  /** limit: requests at the same time. grant: informs a tab that one of its requests may go. */
  constructor(limit: number, grant: (tab: Tab, id: number) => void) {
    this.#limit = limit;
    this.#grant = grant;
  }

  /** Requests that have a turn. */
  get held(): number {
    return [...this.#held.values()].reduce((sum, ids) => sum + ids.size, 0);
  }

  ask(tab: Tab, id: number): void {
    const queue = this.#waiting.get(tab);
    if (queue) queue.push(id);
    else this.#waiting.set(tab, [id]);
    this.#next();
  }

  /** The request is answered, or given up before or after it had a turn. */
  done(tab: Tab, id: number): void {
    this.#held.get(tab)?.delete(id);
    const queue = this.#waiting.get(tab);
    if (queue?.includes(id))
      this.#keep(
        tab,
        queue.filter((each) => each !== id),
      );
    this.#next();
  }

  /** The tab is closed, and all its requests with it. */
  gone(tab: Tab): void {
    this.#waiting.delete(tab);
    this.#held.delete(tab);
    this.#next();
  }

  #next(): void {
    while (this.held < this.#limit) {
      const tab = this.#whoIsNext();
      if (tab === null) return;
      const [id, ...rest] = this.#waiting.get(tab) as [number, ...number[]];
      this.#waiting.delete(tab);
      this.#keep(tab, rest);
      this.#held.set(tab, (this.#held.get(tab) ?? new Set()).add(id));
      this.#grant(tab, id);
    }
  }

  /** Of the tabs that wait, the one that holds the fewest turns; of several, the one whose last turn is longest ago. */
  #whoIsNext(): Tab | null {
    let next: Tab | null = null;
    let fewest = Infinity;
    for (const tab of this.#waiting.keys()) {
      const held = this.#held.get(tab)?.size ?? 0;
      if (held < fewest) [next, fewest] = [tab, held];
    }
    return next;
  }

  #keep(tab: Tab, queue: number[]): void {
    if (queue.length > 0) this.#waiting.set(tab, queue);
    else this.#waiting.delete(tab);
  }
}
