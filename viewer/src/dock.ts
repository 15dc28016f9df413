/** The rail of tools at the page's edge; each opens its panel beside it, one at a time. */

import { icon, make } from "./dom.js";
import { ICONS } from "./icons.js";

export interface DockTool {
  readonly id: string;
  readonly label: string;
  readonly key: string;
  readonly icon: keyof typeof ICONS;
  readonly title: string;
  readonly panel: HTMLElement;
  readonly onOpen?: () => void;
  readonly onClose?: () => void;
}

export class Dock {
  readonly #host: HTMLElement;
  readonly #buttons = new Map<string, HTMLButtonElement>();
  readonly #tools = new Map<string, DockTool>();
  #open: string | null = null;

  /** rail: holds the buttons; host: holds the open panel. */
  constructor(rail: HTMLElement, host: HTMLElement, tools: readonly DockTool[]) {
    this.#host = host;
    for (const tool of tools) {
      const label = make("span", {}, tool.label);
      const title = `${tool.title} (${tool.key.toUpperCase()})`;
      const attributes = {
        type: "button",
        class: "rail-button",
        title,
        "aria-expanded": "false",
        "aria-controls": host.id,
      };
      const one = make("button", attributes, icon(ICONS[tool.icon]), label);
      one.addEventListener("click", () => this.toggle(tool.id));
      rail.append(one);
      this.#buttons.set(tool.id, one);
      this.#tools.set(tool.id, tool);
    }
    host.hidden = true;
  }

  get open(): string | null {
    return this.#open;
  }

  toggle(id: string): void {
    if (this.#open === id) this.close();
    else this.show(id);
  }

  show(id: string): void {
    const tool = this.#tools.get(id);
    if (!tool || this.#open === id) return;
    this.#leave();
    this.#open = id;
    const close = make(
      "button",
      { type: "button", class: "icon-button small", "aria-label": `Close ${tool.label}`, title: "Close (Escape)" },
      icon(ICONS.close),
    );
    close.addEventListener("click", () => this.close());
    const heading = make("h2", { id: "panel-title", tabindex: -1 }, tool.title);
    this.#host.replaceChildren(make("header", {}, heading, close), tool.panel);
    this.#host.hidden = false;
    this.#buttons.get(id)?.setAttribute("aria-expanded", "true");
    tool.onOpen?.();
  }

  /** False where no panel is open. */
  close(): boolean {
    const id = this.#open;
    if (id === null) return false;
    const hadFocus = this.#host.contains(document.activeElement);
    this.#leave();
    this.#host.hidden = true;
    if (hadFocus) this.#buttons.get(id)?.focus();
    return true;
  }

  #leave(): void {
    if (this.#open === null) return;
    this.#buttons.get(this.#open)?.setAttribute("aria-expanded", "false");
    const tool = this.#tools.get(this.#open);
    this.#open = null;
    tool?.onClose?.();
  }
}
