/** Messages to the person: what happened and what to do; each can be dismissed, and a later one takes the place of its like. */

import { ServerError } from "./api.js";

export class Notices {
  readonly #list: HTMLElement;
  readonly #shown = new Map<string, { readonly element: HTMLElement; readonly words: string }>();

  constructor(list: HTMLElement) {
    this.#list = list;
  }

  /**
   * Shows a message; `id` names it for `dismiss`. forMs: it goes by itself after so long; 0 stays. act: a button with words,
   * and what it does.
   */
  show(id: string, text: string, remedy = "", forMs = 0, act?: readonly [words: string, click: () => void]): void {
    const known = this.#shown.get(id);
    if (known && !act && known.words === `${text} ${remedy}`) return;
    this.dismiss(id);
    const notice = document.createElement("div");
    notice.className = "notice";
    const words = document.createElement("p");
    const what = document.createElement("strong");
    what.textContent = text;
    words.append(what, remedy ? ` ${remedy}` : "");
    const close = document.createElement("button");
    close.type = "button";
    close.className = "notice-close";
    close.setAttribute("aria-label", "Dismiss this message");
    close.textContent = "×";
    close.addEventListener("click", () => this.dismiss(id));
    notice.append(words, ...(act ? [this.#button(id, act)] : []), close);
    const shown = { element: notice, words: `${text} ${remedy}` };
    this.#shown.set(id, shown);
    this.#list.append(notice);
    if (forMs > 0) setTimeout(() => this.#shown.get(id) === shown && this.dismiss(id), forMs);
  }

  #button(id: string, [words, click]: readonly [string, () => void]): HTMLButtonElement {
    const one = document.createElement("button");
    one.type = "button";
    one.className = "button";
    one.textContent = words;
    one.addEventListener("click", () => {
      this.dismiss(id);
      click();
    });
    return one;
  }

  /** Shows what the server refused. */
  showError(error: unknown): void {
    const refusal = error instanceof ServerError;
    const text = refusal ? error.message : `Something went wrong: ${String(error)}.`;
    this.show(text, text, refusal && error.remedy ? error.remedy : "Reload the page to try again.");
  }

  dismiss(id: string): void {
    this.#shown.get(id)?.element.remove();
    this.#shown.delete(id);
  }
}
