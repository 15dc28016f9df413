/** Reading long answers bit by bit, so that the page never stands still. */

import { parseExact } from "../exactJson.js";

const SLICE_MS = 8;
const SHORT = 200_000;

/**
 * A GeoJSON collection as the server writes it: its features stand one a line, in the last field. Any other text is read in
 * one go.
 */
export async function parseLines(text: string): Promise<unknown> {
  const begin = text.indexOf('"features": [\n');
  if (text.length < SHORT || begin < 0 || !text.endsWith("\n]}")) return parseExact(text);
  const head = parseExact(`${text.slice(0, begin)}"features": []}`) as { features: unknown[] };
  let at = begin + '"features": [\n'.length;
  let rest = performance.now() + SLICE_MS;
  while (at < text.length - 2) {
    const end = text.indexOf("\n", at);
    head.features.push(parseExact(text.slice(at, text[end - 1] === "," ? end - 1 : end)));
    at = end + 1;
    if (performance.now() < rest) continue;
    await new Promise((resolve) => setTimeout(resolve));
    rest = performance.now() + SLICE_MS;
  }
  return head;
}
