/** The dialog that makes a new slide: an organ, a seed chosen from a gallery or typed, a model, a size, pictures. */

import { fetchJson, fetchPicture, sendJson, ServerError } from "./api.js";
import { button, field, make } from "./dom.js";
import type { OrganOffer } from "./organ.js";
import { OrganGallery } from "./organGallery.js";
import { OrganRegions } from "./organRegions.js";
import { type Extent, RegionError } from "./regionWish.js";
import { SamplingFields, type SamplingCapabilities } from "./sampling.js";

const GALLERY = 6;
const PICTURES = "image/jpeg,image/png,image/webp,image/tiff";

interface Model extends SamplingCapabilities {
  name: string;
  steerable: boolean;
  organs: readonly OrganOffer[];
}

const SIZES: readonly (readonly [string, { width: number; height: number } | null])[] = [
  ["Whole glass, 65 x 49 mm", { width: 131072, height: 98304 }],
  ["One section, 16 x 12 mm", { width: 32768, height: 24576 }],
  ["Endless", null],
];
/** um per 20x pixel, and the extent of a slide without an end in 20x pixels, which opens in its middle. */
const BASE_MPP = 0.5;
const ENDLESS_PX = 2 ** 31;

/** A seed that any model takes: 48 bits, so that it can be read out loud. */
export function randomSeed(): string {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return String((high % 2 ** 16) * 2 ** 32 + low);
}

export class NewSlide {
  readonly element: HTMLDialogElement;
  readonly #title = make("input", { type: "text", required: true, maxlength: 80, value: "My slide" });
  readonly #seed = make("input", {
    type: "text",
    required: true,
    inputmode: "numeric",
    pattern: "[0-9]{1,20}",
    maxlength: 20,
  });
  readonly #model = make("select");
  readonly #size = make("select");
  readonly #picture = make("input", { type: "file", accept: PICTURES });
  readonly #scale = make("input", { type: "text", inputmode: "decimal", value: "4", maxlength: 8, disabled: true });
  readonly #like = make("input", { type: "file", accept: PICTURES });
  readonly #likeScale = make("input", {
    type: "text",
    inputmode: "decimal",
    value: "0.5",
    maxlength: 8,
    disabled: true,
  });
  /** The fields of a reference picture: there only where the chosen model heeds one. */
  readonly #likeFields = make("div", { class: "two", hidden: true });
  readonly #sampling = new SamplingFields();
  readonly #organs = new OrganGallery();
  readonly #regions = new OrganRegions(() => this.#extent());
  #models: readonly Model[] = [];
  #seeds: readonly string[] = [];
  readonly #gallery = make("div", { class: "gallery", role: "group", "aria-label": "Seeds to choose from" });
  readonly #error = make("p", { class: "verdict", role: "alert" });
  readonly #make: HTMLButtonElement;
  /** Whether the seed in the field was typed or picked by the person, since the dialog was opened. */
  #own = false;

  /** made: called with the id of the slide that was made. */
  #pictures = new AbortController();

  constructor(readonly made: (id: string) => Promise<void>) {
    this.#size.append(...SIZES.map(([words], index) => make("option", { value: index }, words)));
    this.#seed.addEventListener("input", () => {
      this.#own = true;
      this.#showChosen();
    });
    this.#model.addEventListener("change", () => {
      this.#offerChoices();
      this.#fill();
    });
    this.#organs.onChange = () => this.#draw();
    this.#like.addEventListener("change", () => {
      this.#likeScale.disabled = (this.#like.files?.length ?? 0) === 0;
    });
    this.#likeFields.append(
      field("In the tissue and stain of a picture", this.#like),
      field("That picture's µm per pixel", this.#likeScale),
    );
    this.#picture.addEventListener("change", () => this.#pictureChosen());
    this.#make = make("button", { type: "submit", class: "button primary", disabled: true }, "Make slide");
    const form = make(
      "form",
      { method: "dialog" },
      make("h2", { id: "new-slide-title" }, "New slide"),
      make(
        "p",
        { class: "hint" },
        "A seed is a slide: the same seed, organ and model paint the same tissue, whenever you come back.",
      ),
      this.#organs.element,
      this.#gallery,
      make(
        "div",
        { class: "buttons" },
        button("Other seeds", () => {
          this.#own = false;
          this.#fill();
        }),
      ),
      make(
        "div",
        { class: "two" },
        field("Title", this.#title),
        field("Seed", this.#seed),
        field("Model", this.#model),
        field("Size", this.#size),
        field("Or zoom into a picture of your own", this.#picture),
        field("Its µm per pixel", this.#scale),
      ),
      this.#regions.element,
      this.#sampling.element,
      this.#likeFields,
      make(
        "p",
        { class: "hint" },
        "Below a picture's own pixels all detail is painted: it is synthetic, and not that of the specimen. JPEG, PNG, " +
          "WebP and TIFF of 8 or 16 bits; whole-slide files by “everslide new NAME --parent FILE --mpp 2”.",
      ),
      this.#error,
      make(
        "div",
        { class: "buttons end" },
        button("Cancel", () => this.element.close()),
        this.#make,
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.element = make("dialog", { "aria-labelledby": "new-slide-title" }, form);
    this.element.addEventListener("close", () => this.#dropPictures());
  }

  /** Opens the dialog. What the person enters while the models are still asked for is kept. */
  async show(): Promise<void> {
    this.#error.textContent = "";
    this.#own = false;
    this.element.showModal();
    this.#organs.look();
    if (this.#model.options.length > 0) this.#fill();
    try {
      const { models } = (await fetchJson("/api/models")) as { models: Model[] };
      this.#models = models;
      this.#offer(models.map(({ name }) => name));
      this.#offerChoices();
    } catch (error) {
      this.#error.textContent = wordsOf(error);
    }
  }

  /** Offers the models that are served; nothing changes when they are those already offered. */
  #offer(names: readonly string[]): void {
    const before = [...this.#model.options].map((option) => option.value);
    if (names.join("\n") === before.join("\n")) return;
    const chosen = this.#model.value;
    this.#model.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
    if (names.includes(chosen)) this.#model.value = chosen;
    else this.#fill();
    this.#make.disabled = false;
  }

  /** Shows the fields of what the chosen model can do. */
  #offerChoices(): void {
    const chosen = this.#models.find(({ name }) => name === this.#model.value) ?? null;
    this.#likeFields.hidden = !chosen?.steerable;
    this.#sampling.offer(chosen);
    this.#organs.offer(this.#model.value, chosen?.organs ?? []);
    this.#regions.offer(chosen?.organs ?? []);
  }

  /** Shows other seeds to choose from, and takes the first unless the person has one. */
  #fill(): void {
    this.#seeds = Array.from({ length: GALLERY }, randomSeed);
    this.#draw();
    if (!this.#own) this.#choose(this.#seeds[0] as string);
  }

  /** Shows how the seeds look, as the chosen organ. */
  #draw(): void {
    this.#pictures.abort();
    this.#pictures = new AbortController();
    const model = encodeURIComponent(this.#model.value);
    const organ = this.#organs.chosen ? `?organ=${encodeURIComponent(this.#organs.chosen)}` : "";
    this.#gallery.replaceChildren(
      ...this.#seeds.map((seed) => {
        const one = make("button", { type: "button", class: "seed", "data-seed": seed, "aria-label": `Seed ${seed}` });
        const picture = make("img", { alt: "", width: 144, height: 108 });
        one.append(picture);
        void this.#show(picture, `/api/gallery/${model}/${seed}.jpeg${organ}`);
        one.addEventListener("click", () => {
          this.#own = true;
          this.#choose(seed);
        });
        return one;
      }),
    );
    this.#showChosen();
  }

  /** Gives up pictures that are still being painted: nobody looks, and the new slide's tiles need the connections. */
  #dropPictures(): void {
    this.#organs.leave();
    this.#pictures.abort();
  }

  async #show(picture: HTMLImageElement, url: string): Promise<void> {
    try {
      const address = URL.createObjectURL(await fetchPicture(url, this.#pictures.signal));
      picture.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
      picture.src = address;
    } catch {
      // The seed can be chosen without its picture.
    }
  }

  #choose(seed: string): void {
    this.#seed.value = seed;
    this.#showChosen();
  }

  #showChosen(): void {
    for (const one of this.#gallery.querySelectorAll("button")) {
      one.setAttribute("aria-pressed", String(one.dataset["seed"] === this.#seed.value));
    }
  }

  /** A picture brings its own size. */
  #pictureChosen(): void {
    const chosen = (this.#picture.files?.length ?? 0) > 0;
    this.#scale.disabled = !chosen;
    this.#size.disabled = chosen;
  }

  /** Of the slide as it is chosen now, in mm; null where a picture brings its own. */
  #extent(): Extent | null {
    if (this.#size.disabled) return null;
    const { width, height } = SIZES[Number(this.#size.value)]?.[1] ?? { width: ENDLESS_PX, height: ENDLESS_PX };
    return { width: (width * BASE_MPP) / 1000, height: (height * BASE_MPP) / 1000 };
  }

  async #submit(): Promise<void> {
    const size = SIZES[Number(this.#size.value)]?.[1] ?? null;
    const wish = {
      title: this.#title.value,
      seed: this.#seed.value,
      model: this.#model.value,
      unbounded: size === null,
      ...this.#sampling.chosen,
      organ: this.#organs.chosen,
    };
    this.#make.disabled = true;
    try {
      const regions = this.#regions.chosen;
      const picture = await pictureWish(this.#picture, this.#scale);
      const like = this.#likeFields.hidden ? null : await pictureWish(this.#like, this.#likeScale);
      const { id } = (await sendJson("POST", "/api/slides", { ...wish, ...size, picture, like, regions })) as {
        id: string;
      };
      this.element.close();
      await this.made(id);
    } catch (error) {
      this.#error.textContent = error instanceof RegionError ? "" : wordsOf(error);
    } finally {
      this.#make.disabled = false;
    }
  }
}

/** The picture chosen in `files`, of as many µm per pixel as `scale` says, as the server takes it; or null. */
async function pictureWish(
  files: HTMLInputElement,
  scale: HTMLInputElement,
): Promise<{ data: string; um_per_px: number } | null> {
  const file = files.files?.[0];
  return file ? { data: await base64Of(file), um_per_px: Number(scale.value.replace(",", ".")) } : null;
}

/** The content of a file in base64. */
function base64Of(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(String(reader.result).split(",", 2)[1] ?? ""));
    reader.addEventListener("error", () => reject(new Error(`${file.name} cannot be read.`)));
    reader.readAsDataURL(file);
  });
}

function wordsOf(error: unknown): string {
  return error instanceof ServerError ? `${error.message} ${error.remedy}`.trim() : (error as Error).message;
}
