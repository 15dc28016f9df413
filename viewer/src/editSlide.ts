/** The dialog that renames or deletes the open slide, where it is one that was made; and what brings it back. */

import { sendJson, ServerError, type Slide } from "./api.js";
import { button, field, make } from "./dom.js";

export interface EditSlideActions {
  renamed(slide: Slide, title: string): Promise<void>;
  deleted(slide: Slide): Promise<void>;
}

export class EditSlide {
  readonly element: HTMLDialogElement;
  readonly #title = make("input", { type: "text", required: true, maxlength: 80 });
  readonly #error = make("p", { class: "verdict", role: "alert" });
  readonly #actions: EditSlideActions;
  #slide: Slide | null = null;

  constructor(actions: EditSlideActions) {
    this.#actions = actions;
    const form = make(
      "form",
      { method: "dialog" },
      make("h2", { id: "edit-slide-title" }, "This slide"),
      field("What it is called", this.#title),
      make(
        "p",
        { class: "hint" },
        "Its address and all links stay. A deleted slide can be brought back, with its annotations and tours.",
      ),
      this.#error,
      make(
        "div",
        { class: "buttons end" },
        button("Delete slide", () => void this.#delete()),
        button("Cancel", () => this.element.close()),
        make("button", { type: "submit", class: "button primary" }, "Rename"),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#rename();
    });
    this.element = make("dialog", { "aria-labelledby": "edit-slide-title" }, form);
  }

  show(slide: Slide): void {
    this.#slide = slide;
    this.#error.textContent = "";
    this.#title.value = slide.title;
    this.element.showModal();
    this.#title.select();
  }

  async #rename(): Promise<void> {
    const slide = this.#slide;
    const title = this.#title.value.trim();
    if (!slide) return;
    await this.#try(async () => {
      await sendJson("PATCH", addressOf(slide.id), { title });
      await this.#actions.renamed(slide, title);
    });
  }

  async #delete(): Promise<void> {
    const slide = this.#slide;
    if (!slide) return;
    await this.#try(async () => {
      await sendJson("DELETE", addressOf(slide.id), null);
      await this.#actions.deleted(slide);
    });
  }

  async #try(act: () => Promise<void>): Promise<void> {
    try {
      await act();
      this.element.close();
    } catch (error) {
      const refused = error instanceof ServerError;
      this.#error.textContent = refused ? `${error.message} ${error.remedy}`.trim() : (error as Error).message;
    }
  }
}

/** Brings back a slide that was deleted. */
export async function restoreSlide(id: string): Promise<void> {
  await sendJson("POST", `${addressOf(id)}/restore`, null);
}

function addressOf(id: string): string {
  return `/api/slides/${encodeURIComponent(id)}`;
}
