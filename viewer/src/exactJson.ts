/**
 * JSON whose whole numbers beyond 2^53 keep all their digits: JavaScript's own numbers would round them. They are text with a
 * mark while they are in the page, and numbers again where they leave it.
 */

const MARK = "\u0000whole ";
const LONG = /(?:^|[\s:,[])-?\d{16,}\s*(?:[,\]}]|$)/;
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const MARKED = /"\\u0000whole (-?\d+)"/g;

export function parseExact(text: string): unknown {
  if (!LONG.test(text)) return JSON.parse(text);
  return JSON.parse(
    text.replace(TOKENS, (token) =>
      /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? JSON.stringify(MARK + token) : token,
    ),
  );
}

export function writeExact(value: unknown, indent = 0): string {
  return JSON.stringify(value, null, indent).replace(MARKED, "$1");
}

/** A text as people read it: without the mark, where it stands for a number. */
export function unmarked(text: string): string {
  return text.startsWith(MARK) ? text.slice(MARK.length) : text;
}
