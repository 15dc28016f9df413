/** What the server keeps on its disk and cannot read, in words: what it is, why, and in which file it is kept. */

/** As the server tells it. id: of an entry, or a place in the file. */
export interface SetAside {
  readonly id: string;
  readonly why: string;
  readonly file: string;
}

/** Reasons told in a message. */
const MOST_TOLD = 3;

/** "1 stored tour cannot be read."; which, why, and where it is kept. */
export function setAsideWords(thing: string, odd: readonly SetAside[], more = ""): [string, string] {
  const one = odd.length === 1;
  const told = odd.slice(0, MOST_TOLD).map(({ id, why }) => (why.startsWith(id) ? why : `${id}: ${why}`));
  const rest = odd.length > MOST_TOLD ? ` And ${odd.length - MOST_TOLD} more: the server's log lists all.` : "";
  const files = [...new Set(odd.map(({ file }) => file))].slice(0, MOST_TOLD).join(", ");
  const kept = `The server keeps ${one ? "it as it is" : "them as they are"} in ${files}: mend it there, or delete it.`;
  return [
    `${odd.length} stored ${one ? thing : `${thing}s`} cannot be read.`,
    `${told.join("; ")}.${rest} ${kept}${more && ` ${more}`}`,
  ];
}
