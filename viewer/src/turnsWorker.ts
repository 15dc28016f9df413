/** The shared worker in which all tabs of a browser agree whose requests wait for the server. See `turns.ts`. */

import { TurnBook } from "./turnBook.js";
import { TURNS, type FromTab, type ToTab } from "./turns.js";

/** A tab that was not heard of for so long is gone: browsers let hidden tabs speak once a minute. */
const SILENCE_MS = 150_000;

const heard = new Map<MessagePort, number>();
const book = new TurnBook<MessagePort>(TURNS, (port, id) => port.postMessage(id satisfies ToTab));

function leave(port: MessagePort): void {
  heard.delete(port);
  book.gone(port);
}

function connect(port: MessagePort): void {
  port.onmessage = ({ data }: MessageEvent<FromTab>) => {
    if (data.kind === "leave") return leave(port);
    heard.set(port, Date.now());
    if (data.kind === "ask") book.ask(port, data.id);
    else if (data.kind === "done") book.done(port, data.id);
  };
}

self.addEventListener("connect", (event) => {
  for (const port of (event as MessageEvent).ports) connect(port);
});
setInterval(() => {
  for (const [port, at] of heard) if (Date.now() - at > SILENCE_MS) leave(port);
}, 10_000);
