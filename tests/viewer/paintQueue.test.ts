/** Which paint requests are made, in which order, and what happens to them. */

import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { ConnectionError, ServerError } from "../../viewer/src/api.js";
import { Connection, pause } from "../../viewer/src/connection.js";
import { type TileAddress, tileKey } from "../../viewer/src/geometry.js";
import { PaintQueue } from "../../viewer/src/paintQueue.js";

const BLOB = new Blob(["tile"]);
const tile = (col: number): TileAddress => ({ level: 9, col, row: 0 });
const tiles = (count: number): TileAddress[] => Array.from({ length: count }, (_, col) => tile(col));
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

/** One request that waits to be answered by the test. */
interface Asked {
  readonly key: string;
  readonly signal: AbortSignal;
  readonly answer: (blob: Blob) => void;
  readonly fail: (error: unknown) => void;
}

describe("paint queue", () => {
  let asked: Asked[];
  let finals: string[];
  let refused: string[];
  let connection: Connection;
  let queue: PaintQueue;

  beforeEach(() => {
    asked = [];
    finals = [];
    refused = [];
    connection = new Connection();
    queue = new PaintQueue({
      limit: 2,
      connection,
      ask: (address, signal) =>
        new Promise((answer, fail) => {
          signal.addEventListener("abort", () => fail(new DOMException("given up", "AbortError")));
          asked.push({ key: tileKey(address), signal, answer, fail });
        }),
      onFinal: (address) => finals.push(tileKey(address)),
      onRefused: (address) => refused.push(tileKey(address)),
      onChange: () => {},
    });
  });
  const keys = (): string[] => asked.map((one) => one.key);

  test("a few at a time, in the order wanted", async () => {
    queue.want(tiles(4));
    assert.deepEqual(keys(), ["9/0_0", "9/1_0"]);
    assert.equal(queue.waiting, 4);
    asked[1]?.answer(BLOB);
    await settle();
    assert.deepEqual(keys(), ["9/0_0", "9/1_0", "9/2_0"]);
    assert.deepEqual(finals, ["9/1_0"]);
    assert.equal(queue.waiting, 3);
  });

  test("what is wanted again is not asked for twice; what is not is aborted", async () => {
    queue.want(tiles(2));
    queue.want([tile(1), tile(5)]);
    await settle();
    assert.deepEqual(keys(), ["9/0_0", "9/1_0", "9/5_0"]);
    assert.deepEqual(
      asked.map((one) => one.signal.aborted),
      [true, false, false],
    );
    assert.equal(queue.running, 2);
  });

  test("aborted and wanted again at once is asked for anew", async () => {
    queue.want([tile(0)]);
    queue.want([]);
    queue.want([tile(0)]);
    await settle();
    assert.deepEqual(
      asked.map((one) => one.signal.aborted),
      [true, false],
    );
    asked[1]?.answer(BLOB);
    await settle();
    assert.deepEqual(finals, ["9/0_0"]);
    assert.equal(queue.running, 0);
  });

  test("a refused tile is given up, the others go on", async () => {
    queue.want(tiles(3));
    asked[0]?.fail(new ServerError(404, "no such tile", ""));
    await settle();
    assert.deepEqual(refused, ["9/0_0"]);
    assert.deepEqual(keys(), ["9/0_0", "9/1_0", "9/2_0"]);
    queue.want(tiles(3));
    assert.equal(queue.waiting, 2);
    assert.ok(connection.up);
  });

  test("while the server is gone one request at a time asks again, later", async () => {
    const changes: boolean[] = [];
    connection.onChange = (up) => changes.push(up);
    queue.want(tiles(3));
    asked[0]?.fail(new ConnectionError());
    asked[1]?.fail(new ConnectionError());
    await settle();
    assert.equal(asked.length, 2, "not at once");
    assert.equal(queue.running, 1);
    assert.equal(queue.waiting, 3, "nothing is given up");
    await pause(1000, new AbortController().signal);
    assert.deepEqual(keys().slice(2), ["9/0_0"]);
    asked[2]?.answer(BLOB);
    await settle();
    assert.deepEqual(keys().slice(3), ["9/1_0", "9/2_0"], "back to several at a time");
    assert.deepEqual(changes, [false, true]);
  });
});

test("waits grow while the server is gone, up to five seconds", () => {
  const connection = new Connection();
  const waits = Array.from({ length: 7 }, () => (connection.failed(new ConnectionError()), connection.waitMs));
  assert.deepEqual(waits, [400, 800, 1600, 3200, 5000, 5000, 5000]);
  connection.answered();
  assert.ok(connection.up);
  assert.equal(connection.failed(new ServerError(503, "busy", "")), true, "busy: asking again helps");
  assert.equal(connection.failed(new ServerError(404, "gone", "")), false, "an answer, even if a refusal");
  assert.ok(connection.up);
});

test("a pause can be given up", async () => {
  const controller = new AbortController();
  const paused = pause(60_000, controller.signal);
  controller.abort();
  await assert.rejects(paused, { name: "AbortError" });
  await assert.rejects(pause(60_000, controller.signal), { name: "AbortError" });
});
