/** Tabs that share the browser's connections: who may wait for the server. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { TurnBook } from "../../viewer/src/turnBook.js";
import { ownTurns, type TurnSource, Turns } from "../../viewer/src/turns.js";

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

describe("turn book", () => {
  const book = (limit: number): { granted: string[]; book: TurnBook<string> } => {
    const granted: string[] = [];
    return { granted, book: new TurnBook<string>(limit, (tab, id) => granted.push(tab + id)) };
  };

  test("no more than the limit wait, whoever asks", () => {
    const { granted, book: turns } = book(3);
    for (const tab of ["a", "b"]) for (let id = 1; id <= 4; id++) turns.ask(tab, id);
    assert.equal(turns.held, 3);
    turns.done("a", 1);
    assert.equal(turns.held, 3);
    assert.equal(granted.length, 4);
  });

  test("a tab that comes later gets the next turn, then as many as the others", () => {
    const { granted, book: turns } = book(4);
    for (let id = 1; id <= 9; id++) turns.ask("a", id);
    for (let id = 1; id <= 9; id++) turns.ask("b", id);
    turns.done("a", 1);
    turns.done("a", 2);
    assert.deepEqual(granted, ["a1", "a2", "a3", "a4", "b1", "b2"]);
    turns.ask("c", 1);
    turns.done("a", 3);
    assert.equal(granted.at(-1), "c1");
  });

  test("what is given up while it waits never gets a turn", () => {
    const { granted, book: turns } = book(1);
    for (const id of [1, 2, 3]) turns.ask("a", id);
    turns.done("a", 2);
    turns.done("a", 1);
    assert.deepEqual(granted, ["a1", "a3"]);
  });

  test("a closed tab frees its turns", () => {
    const { granted, book: turns } = book(2);
    for (const id of [1, 2, 3]) turns.ask("a", id);
    turns.ask("b", 1);
    turns.gone("a");
    turns.done("a", 1);
    assert.deepEqual(granted, ["a1", "a2", "b1"]);
    assert.equal(turns.held, 1);
  });
});

describe("turns of a page", () => {
  const work = (begun: string[], name: string, until: Promise<void>): (() => Promise<string>) => {
    return async () => {
      begun.push(name);
      await until;
      return name;
    };
  };

  test("work waits for its turn, and frees it also when it fails", async () => {
    const turns = new Turns(
      () => ownTurns(1),
      () => ownTurns(1),
    );
    const begun: string[] = [];
    let fail: (error: Error) => void = () => {};
    const first = turns.take(undefined, work(begun, "first", new Promise((_, reject) => (fail = reject))));
    const second = turns.take(undefined, work(begun, "second", Promise.resolve()));
    await settle();
    assert.deepEqual(begun, ["first"]);
    fail(new Error("broken"));
    await assert.rejects(first, /broken/);
    assert.equal(await second, "second");
  });

  test("given up while it waits: never begun, and the next one goes", async () => {
    const turns = new Turns(
      () => ownTurns(1),
      () => ownTurns(1),
    );
    const begun: string[] = [];
    let end: () => void = () => {};
    const first = turns.take(undefined, work(begun, "first", new Promise((resolve) => (end = resolve))));
    const stop = new AbortController();
    const second = turns.take(stop.signal, work(begun, "second", Promise.resolve()));
    const third = turns.take(undefined, work(begun, "third", Promise.resolve()));
    stop.abort();
    await assert.rejects(second, { name: "AbortError" });
    end();
    await Promise.all([first, third]);
    assert.deepEqual(begun, ["first", "third"]);
  });

  test("a shared worker that does not start is replaced, and nothing waits for ever", async () => {
    const dead: TurnSource = { granted: () => {}, ask: () => {}, done: () => {} };
    let failed: () => void = () => {};
    const turns = new Turns(
      (whenFailed) => {
        failed = whenFailed;
        return dead;
      },
      () => ownTurns(1),
    );
    const begun: string[] = [];
    const all = [1, 2, 3].map((n) => turns.take(undefined, work(begun, `${n}`, Promise.resolve())));
    await settle();
    assert.deepEqual(begun, []);
    failed();
    await Promise.all(all);
    assert.deepEqual(begun, ["1", "2", "3"]);
  });
});
