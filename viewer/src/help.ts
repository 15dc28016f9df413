/** The help: what the page is, and every key, from the table that the keys themselves obey. */

import { button, make } from "./dom.js";
import { BINDINGS } from "./keyboard.js";

export function helpDialog(): HTMLDialogElement {
  const rows = BINDINGS.filter(({ words }) => words !== "").map(({ keys, shown, words }) =>
    make("div", {}, make("dt", {}, ...keysOf(shown ?? keys[0] ?? "")), make("dd", {}, words)),
  );
  const dialog = make(
    "dialog",
    { id: "help-dialog", class: "wide", "aria-labelledby": "help-title" },
    make("h2", { id: "help-title" }, "Looking around"),
    make(
      "p",
      {},
      "Drag to move, turn the wheel or pinch to zoom. Everslide paints the tissue at the moment you look at it: it appears " +
        "blurred at first and sharpens, and the same place always looks the same. The address of this page is a link to " +
        "what you see.",
    ),
    make("dl", {}, ...rows),
    make(
      "p",
      {},
      "Click an annotation to choose it. Drag it to move it; drag a round handle to move a corner, a square one to add " +
        "one; click a corner and press Delete, or double-click it, to delete it. By keyboard: Tab and Enter choose an " +
        "annotation in the list, K its corners one after the other, arrows move the corner. Where corners lie close together, zoom in " +
        "for a handle on each. What cannot be saved is called not saved, and stays until it is; so does what somebody else " +
        "changed meanwhile: Save again overwrites that.",
    ),
    make(
      "p",
      {},
      "Files: GeoJSON of QuPath, GeoPandas, QGIS and scripts. What of a file cannot be read is left out and listed. " +
        "The pen beside New slide renames or deletes a slide that was made.",
    ),
    make(
      "p",
      { class: "warning" },
      "Every slide here is synthetic, and an organ is a likeness of the few cases that the model has seen of it: the bar says " +
        "how many. No patient is shown, and nothing may be concluded from it about any patient.",
    ),
    button("Close", () => dialog.close(), { class: "button primary" }),
  );
  return dialog;
}

/** "R, Shift R" -> two keys with a comma between them. */
function keysOf(shown: string): (Node | string)[] {
  return shown.split(", ").flatMap((one, index) => {
    const keys = /to/.test(one) ? [one] : one.split(" ");
    return [index > 0 ? ", " : "", ...keys.flatMap((key) => [make("kbd", {}, upper(key)), " "])];
  });
}

function upper(key: string): string {
  return key.length === 1 ? key.toUpperCase() : key;
}
