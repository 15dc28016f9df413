/** The card over the slide on which tours and questions are shown. */

import { icon, make } from "../dom.js";
import { ICONS } from "../icons.js";

export class Card {
  readonly element = make("section", { class: "panel card", hidden: true, "aria-live": "polite" });
  /** Called when the person closes the card. */
  onClose: () => void = () => {};

  get shown(): boolean {
    return !this.element.hidden;
  }

  /** Shows a page of the card. */
  show(title: string, count: string, ...content: (Node | string)[]): void {
    const close = make(
      "button",
      {
        type: "button",
        class: "icon-button small",
        "aria-label": "Close",
        title: "Close (Escape)",
        click: () => this.close(),
      },
      icon(ICONS.close),
    );
    this.element.replaceChildren(
      make("header", {}, make("h2", {}, title), make("span", { class: "count" }, count), close),
      ...content,
    );
    this.element.hidden = false;
  }

  close(): void {
    if (this.element.hidden) return;
    this.element.hidden = true;
    this.onClose();
  }
}
