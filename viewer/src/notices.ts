/** Messages to the person: what happened and what to do; each can be dismissed, and none is shown twice at a time. */

import { ServerError } from "./api.js";

export class Notices {
  readonly #list: HTMLElement;
  readonly #shown = new Map<string, HTMLElement>();

  constructor(list: HTMLElement) {
    this.#list = list;
  }

  /** Shows a message; `id` names it for `dismiss`. forMs: it goes by itself after so long; 0 stays. */
  show(id: string, text: string, remedy = "", forMs = 0): void {
    if (this.#shown.has(id)) return;
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
    notice.append(words, close);
    this.#shown.set(id, notice);
    this.#list.append(notice);
    if (forMs > 0) setTimeout(() => this.dismiss(id), forMs);
  }

  /** Shows what the server refused. */
  showError(error: unknown): void {
    const refusal = error instanceof ServerError;
    const text = refusal ? error.message : `Something went wrong: ${String(error)}.`;
    this.show(text, text, refusal && error.remedy ? error.remedy : "Reload the page to try again.");
  }

  dismiss(id: string): void {
    this.#shown.get(id)?.remove();
    this.#shown.delete(id);
  }
}
