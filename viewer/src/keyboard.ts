/**
 * Keys of the page, in one table: what listens, and what the help shows. Text fields and open dialogs keep theirs.
 *
 * A key is known by what it writes. Where it writes no Latin letter, or the row of digits writes other signs, it is known by
 * its place on the keyboard: M is the same key on a Russian keyboard, and 4 needs no Shift on a French one.
 */

import { MAGNIFICATIONS, MAX_MAGNIFICATION, magnificationLabel } from "./magnification.js";

/** What keys and buttons do. Those that answer false did nothing: the key goes on to the browser. */
export interface Actions {
  /** An arrow key, right and down in -1 .. 1. */
  arrow(right: number, down: number, finely: boolean): void;
  /** An arrow key with Ctrl. */
  shift(right: number, down: number): boolean;
  corner(by: number): boolean;
  zoom(factor: number): void;
  magnify(magnification: number): void;
  rotate(degrees: number): void;
  upright(): void;
  home(): void;
  fullscreen(): void;
  help(): void;
  tool(id: string): void;
  newSlide(): void;
  editSlide(): void;
  copyLink(): void;
  screenshot(): void;
  present(): void;
  putCorner(): boolean;
  remove(): boolean;
  undo(): void;
  cancel(): boolean;
  step(by: number): boolean;
}

export interface Binding {
  /** `event.key`, in lower case where it is a letter. */
  readonly keys: readonly string[];
  /** How the help writes the keys; the keys themselves unless given. */
  readonly shown?: string;
  /** What the help says; empty where another line says it too. */
  readonly words: string;
  readonly act: (actions: Actions) => boolean | void;
}

const ZOOM = 1.5;
const TURN = 15;
const STEPS = [...MAGNIFICATIONS, MAX_MAGNIFICATION];

const ARROWS = [
  ["ArrowLeft", -1, 0],
  ["ArrowRight", 1, 0],
  ["ArrowUp", 0, -1],
  ["ArrowDown", 0, 1],
] as const;

/** Of keys that do the same, the help lists the first. */
const first = (index: number, words: string): string => (index > 0 ? "" : words);

export const BINDINGS: readonly Binding[] = [
  ...ARROWS.flatMap(([key, right, down], index): Binding[] => [
    { keys: [key], shown: "← ↑ → ↓", words: first(index, "move"), act: (to) => to.arrow(right, down, false) },
    {
      keys: [`Shift+${key}`],
      shown: "Shift ←",
      words: first(index, "move a chosen corner finely, else as without Shift"),
      act: (to) => to.arrow(right, down, true),
    },
    {
      keys: [`Ctrl+${key.toLowerCase()}`],
      shown: "Ctrl ←",
      words: first(index, "move the chosen annotation"),
      act: (to) => to.shift(right, down),
    },
  ]),
  { keys: ["+", "="], shown: "+ -", words: "zoom in, zoom out", act: (to) => to.zoom(ZOOM) },
  { keys: ["-", "_"], words: "", act: (to) => to.zoom(1 / ZOOM) },
  ...STEPS.map((magnification, index) => ({
    keys: [String(index + 1)],
    shown: "1 to 9",
    words:
      index > 0
        ? ""
        : `${MAGNIFICATIONS.map(magnificationLabel).join(", ")}, and 40x (20x enlarged); the row of digits, Shift or not`,
    act: (to: Actions) => to.magnify(magnification),
  })),
  { keys: ["h"], words: "whole slide", act: (to) => to.home() },
  { keys: ["r"], shown: "R, Shift R", words: "turn right, turn left", act: (to) => to.rotate(TURN) },
  { keys: ["R"], words: "", act: (to) => to.rotate(-TURN) },
  { keys: ["0"], words: "upright again", act: (to) => to.upright() },
  { keys: ["m"], words: "measure", act: (to) => to.tool("measure") },
  { keys: ["a"], words: "annotate", act: (to) => to.tool("annotate") },
  { keys: ["b"], words: "brightness, contrast, stains", act: (to) => to.tool("adjust") },
  { keys: ["c"], words: "compare slides", act: (to) => to.tool("compare") },
  { keys: ["i"], words: "inspect tiles", act: (to) => to.tool("inspect") },
  { keys: ["t"], words: "tours", act: (to) => to.tool("tours") },
  { keys: ["e"], words: "export and link", act: (to) => to.tool("share") },
  { keys: ["n"], words: "new slide", act: (to) => to.newSlide() },
  { keys: ["l"], words: "copy the link to this view", act: (to) => to.copyLink() },
  { keys: ["s"], words: "save a screenshot", act: (to) => to.screenshot() },
  { keys: ["p"], words: "presentation, without controls", act: (to) => to.present() },
  { keys: ["f"], words: "full screen", act: (to) => to.fullscreen() },
  {
    keys: ["Enter"],
    words: "while drawing: a corner in the middle of the view; twice finishes. Of a chosen corner: one more behind it",
    act: (to) => to.putCorner(),
  },
  {
    keys: ["k"],
    shown: "K, Shift K",
    words: "the next corner of the chosen annotation, the one before; then arrows move it",
    act: (to) => to.corner(1),
  },
  { keys: ["K"], words: "", act: (to) => to.corner(-1) },
  {
    keys: ["Delete", "Backspace"],
    shown: "Delete",
    words: "delete the chosen corner or annotation",
    act: (to) => to.remove(),
  },
  {
    keys: ["Ctrl+z"],
    shown: "Ctrl Z",
    words: "undo the last change of annotations, an import as one, or the deleting of a slide",
    act: (to) => to.undo(),
  },
  { keys: ["PageDown"], shown: "PgDn, PgUp", words: "next stop of a tour, the one before", act: (to) => to.step(1) },
  { keys: ["PageUp"], words: "", act: (to) => to.step(-1) },
  { keys: ["Escape"], shown: "Esc", words: "give up, close, leave", act: (to) => to.cancel() },
  { keys: ["?"], words: "this help", act: (to) => to.help() },
];

const BOUND = new Set(BINDINGS.flatMap(({ keys }) => keys));

/** What a key does, or null. Letters are the same with and without capitals, unless the table says otherwise. */
export function actionOf(key: string, actions: Actions): (() => boolean | void) | null {
  const find = (name: string): Binding | undefined => BINDINGS.find(({ keys }) => keys.includes(name));
  const binding = find(key) ?? find(key.length === 1 ? key.toLowerCase() : key);
  return binding ? () => binding.act(actions) : null;
}

/** The properties of a key press that identify the key. */
export type Press = Pick<KeyboardEvent, "key" | "code" | "shiftKey" | "ctrlKey" | "metaKey">;

const SIGNS: Readonly<Record<string, readonly [plain: string, shifted: string]>> = {
  Equal: ["=", "+"],
  Minus: ["-", "_"],
  Slash: ["/", "?"],
  NumpadAdd: ["+", "+"],
  NumpadSubtract: ["-", "-"],
};

/** The key as the table names it: by what it writes, else by its place. Capitals are those of Shift, not of Caps Lock. */
export function keyOf({ key, code, shiftKey, ctrlKey, metaKey }: Press): string {
  const command = ctrlKey || metaKey;
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(code)?.[1];
  const named = key.length > 1 && key !== "Dead" && key !== "Process" && key !== "Unidentified";
  let name = key;
  if (digit !== undefined && !shiftKey && !named) name = digit;
  else if (!named && !/^[\x20-\x7e]$/.test(key)) name = signOf(code, shiftKey) ?? key;
  // A French keyboard writes ")" where others write "-": it does nothing else here.
  else if (code in SIGNS && !/^[a-z0-9]$/i.test(key) && !BOUND.has(key)) name = signOf(code, shiftKey) ?? key;
  if (/^[a-z]$/i.test(name)) name = shiftKey ? name.toUpperCase() : name.toLowerCase();
  // With Shift too: other programs take it for the opposite, as of undo.
  if (command) return `Ctrl+${shiftKey && name.length === 1 ? "Shift+" : ""}${name.toLowerCase()}`;
  return shiftKey && name.startsWith("Arrow") ? `Shift+${name}` : name;
}

/** What the key of a place writes on an English keyboard; null of a place that is not in the table. */
function signOf(code: string, shifted: boolean): string | null {
  const letter = /^Key([A-Z])$/.exec(code)?.[1];
  if (letter) return shifted ? letter : letter.toLowerCase();
  const digit = /^Digit(\d)$/.exec(code)?.[1];
  return digit ?? SIGNS[code]?.[shifted ? 1 : 0] ?? null;
}

/** Listens to the keys of the whole page. */
export function listenToKeys(actions: Actions): void {
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
    const { target } = event;
    if (target instanceof HTMLElement && target.matches("input, select, textarea, [contenteditable]")) {
      // Escape leaves the field, and nothing else.
      if (event.key === "Escape") target.blur();
      return;
    }
    if (event.key === "Enter" && target instanceof HTMLElement && target.matches("button, a")) return;
    const action = actionOf(keyOf(event), actions);
    if (action && action() !== false) event.preventDefault();
  });
}
