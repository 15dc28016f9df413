/** Keys of the page. Fields that take text, and open dialogs, keep theirs. */

import { MAGNIFICATIONS } from "./magnification.js";

export interface Actions {
  pan(right: number, down: number): void;
  zoom(factor: number): void;
  magnify(magnification: number): void;
  home(): void;
  fullscreen(): void;
  help(): void;
}

const STEP = 0.2;
const ZOOM = 1.5;

/** What a key does, or null. */
export function actionOf(key: string, actions: Actions): (() => void) | null {
  switch (key) {
    case "ArrowLeft":
      return () => actions.pan(-STEP, 0);
    case "ArrowRight":
      return () => actions.pan(STEP, 0);
    case "ArrowUp":
      return () => actions.pan(0, -STEP);
    case "ArrowDown":
      return () => actions.pan(0, STEP);
    case "+":
    case "=":
      return () => actions.zoom(ZOOM);
    case "-":
    case "_":
      return () => actions.zoom(1 / ZOOM);
    case "h":
    case "H":
      return () => actions.home();
    case "f":
    case "F":
      return () => actions.fullscreen();
    case "?":
      return () => actions.help();
    default: {
      const magnification = /^[1-8]$/.test(key) ? MAGNIFICATIONS[Number(key) - 1] : undefined;
      return magnification === undefined ? null : () => actions.magnify(magnification);
    }
  }
}

/** Listens to the keys of the whole page. */
export function listenToKeys(actions: Actions): void {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target instanceof HTMLElement && event.target.matches("input, select, textarea")) return;
    const action = actionOf(event.key, actions);
    if (!action) return;
    event.preventDefault();
    action();
  });
}
