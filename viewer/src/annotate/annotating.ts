/** Annotations as a person meets them: drawing, choosing, labelling, measuring, saving, exchanging with QuPath. */

import type { Slide } from "../api.js";
import type { Connection } from "../connection.js";
import { download } from "../dom.js";
import type { Notices } from "../notices.js";
import type { Stage } from "../stage.js";
import { Drawing, type Tool } from "./drawing.js";
import {
  collectionText,
  colorOf,
  type Feature,
  featureOf,
  labelOf,
  parseCollection,
  PLAIN,
  relabelled,
} from "./feature.js";
import type { Rgb } from "./feature.js";
import { MarksLayer } from "./layer.js";
import { AnnotatePanel, MeasurePanel, type PanelActions } from "./panel.js";
import { boundsOf, type Geometry, isHit, moved, type Position } from "./shapes.js";
import { AnnotationStore } from "./store.js";

const HIT_PX = 7;
const MOST_IMPORTED = 20_000;

export class Annotating {
  readonly layer: MarksLayer;
  readonly measurePanel: MeasurePanel;
  readonly annotatePanel: AnnotatePanel;
  readonly #stage: Stage;
  readonly #connection: Connection;
  readonly #notices: Notices;
  readonly #drawing: Drawing;
  #store: AnnotationStore | null = null;
  #slide: Slide | null = null;
  #selected: string | null = null;
  #label = "";
  #color: Rgb = PLAIN;
  /** What is drawn is a measure: without label, whatever was labelled last. */
  #measuring = false;
  /** Called with the annotations whenever they changed. */
  onChange: (features: readonly Feature[]) => void = () => {};

  constructor(stage: Stage, connection: Connection, notices: Notices) {
    this.#stage = stage;
    this.#connection = connection;
    this.#notices = notices;
    this.layer = new MarksLayer(stage);
    this.layer.onGrab = (index, event) => this.#grab(index, event);
    this.measurePanel = new MeasurePanel({ ...this.#actions, choose: (tool) => this.measure(tool) });
    this.annotatePanel = new AnnotatePanel(this.#actions);
    this.#drawing = new Drawing({
      stage,
      onDraft: (geometry) => this.layer.draft(geometry && featureOf(geometry, "", this.#newColor, "draft")),
      onDone: (geometry) => this.#done(geometry),
      onClick: (at) => this.#select(this.#at(at)),
    });
    this.#show();
  }

  readonly #actions: PanelActions = {
    choose: (tool) => this.choose(tool),
    go: (feature) => this.#go(feature),
    remove: (feature) => this.remove(feature.id),
    relabel: (label, color) => this.#relabel(label, color),
    importFile: (file) => void this.#import(file),
    exportFile: () => this.#export(),
    undo: () => this.undo(),
  };

  get features(): readonly Feature[] {
    return this.#store?.features ?? [];
  }

  get selected(): Feature | null {
    return (this.#selected !== null && this.#store?.get(this.#selected)) || null;
  }

  /** Unsaved annotations: leaving the page now would lose them. */
  get unsaved(): number {
    return this.#store?.unsaved ?? 0;
  }

  get tool(): Tool | null {
    return this.#drawing.tool;
  }

  open(slide: Slide): void {
    this.#store?.close();
    this.#slide = slide;
    this.#selected = null;
    this.#drawing.cancel();
    this.#store = new AnnotationStore({
      slide,
      connection: this.#connection,
      onChange: () => this.#show(),
      onRefused: (error) => this.#notices.showError(error),
    });
    void this.#store.load();
    this.#show();
  }

  /** The colour of what is drawn next. */
  get #newColor(): Rgb {
    return this.#measuring ? PLAIN : this.#color;
  }

  /** Draws annotations with a tool, which take the label chosen last; null draws nothing. */
  choose(tool: Tool | null): void {
    this.#measuring = false;
    this.#take(tool);
  }

  /** Measures with a tool; null measures nothing. */
  measure(tool: Tool | null): void {
    this.#measuring = true;
    this.#take(tool);
  }

  #take(tool: Tool | null): void {
    this.#drawing.choose(tool);
    this.#stage.viewer.element.classList.toggle("drawing", tool !== null);
    if (tool) this.#selected = null;
    this.#show();
  }

  /** Enter: a corner where the view's middle is; false where nothing is being drawn. */
  putCorner(): boolean {
    if (!this.#drawing.tool) return false;
    this.#drawing.putCorner();
    return true;
  }

  /** Escape: gives up the shape begun, then the tool, then the choice; false where there is none of them. */
  cancel(): boolean {
    if (this.#drawing.cancel()) return true;
    if (this.#drawing.tool) this.choose(null);
    else if (this.#selected) this.#select(null);
    else return false;
    return true;
  }

  remove(id: string | null = this.#selected): void {
    if (id === null) return;
    this.#store?.remove(id);
    if (id === this.#selected) this.#select(null);
  }

  undo(): void {
    if (!this.#store?.undo()) this.#notices.show("undo", "There is nothing to undo on this page.");
  }

  #done(geometry: Geometry): void {
    const feature = featureOf(geometry, this.#measuring ? "" : this.#label, this.#newColor);
    this.#store?.put(feature);
    this.#selected = feature.id;
    this.#show();
  }

  #at(at: Position): Feature | null {
    const scale = this.#stage.projection()?.scale ?? 1;
    const hits = this.features.filter((feature) => isHit(feature.geometry, at, HIT_PX / scale));
    // The smallest of those that lie over each other, or it could never be chosen.
    const sizeOf = (feature: Feature): number => boundsOf(feature.geometry).width;
    return hits.sort((a, b) => sizeOf(a) - sizeOf(b))[0] ?? null;
  }

  #select(feature: Feature | null): void {
    this.#selected = feature?.id ?? null;
    if (feature) [this.#label, this.#color] = [labelOf(feature), colorOf(feature)];
    this.#show();
  }

  #go(feature: Feature): void {
    this.#select(feature);
    this.#stage.showArea(boundsOf(feature.geometry));
  }

  #relabel(label: string, color: Rgb): void {
    [this.#label, this.#color] = [label, color];
    const chosen = this.selected;
    if (chosen) this.#store?.put(relabelled(chosen, label, color));
    this.#show();
  }

  #grab(index: number, event: PointerEvent): void {
    const grabbed = this.selected;
    const handle = event.target as Element;
    if (!grabbed) return;
    event.preventDefault();
    handle.setPointerCapture(event.pointerId);
    let geometry = grabbed.geometry;
    const move = (next: Event): void => {
      const { clientX, clientY } = next as PointerEvent;
      const box = this.#stage.viewer.element.getBoundingClientRect();
      const at = this.#stage.fromScreen([clientX - box.left, clientY - box.top]);
      if (!at) return;
      geometry = moved(grabbed.geometry, index, at);
      this.layer.draft({ ...grabbed, id: "draft", geometry });
    };
    const drop = (): void => {
      handle.removeEventListener("pointermove", move);
      this.layer.draft(null);
      if (geometry !== grabbed.geometry) this.#store?.put({ ...grabbed, geometry });
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("lostpointercapture", drop, { once: true });
  }

  async #import(file: File): Promise<void> {
    try {
      const features = parseCollection(await file.text());
      if (features.length > MOST_IMPORTED) throw new Error(`The file has more than ${MOST_IMPORTED} annotations.`);
      for (const feature of features) this.#store?.put(feature);
      const words = features.length === 1 ? "1 annotation" : `${features.length} annotations`;
      this.#notices.show("imported", `${words} imported.`);
    } catch (error) {
      this.#notices.show("import", `${file.name} could not be read.`, (error as Error).message);
    }
  }

  #export(): void {
    const content = new Blob([collectionText(this.features)], { type: "application/geo+json" });
    download(content, `${this.#slide?.id ?? "slide"}.geojson`);
  }

  #show(): void {
    const features = this.features;
    const selected = this.selected;
    const { tool } = this;
    const state = { features, selected, tool, label: this.#label, color: this.#color, unsaved: this.unsaved };
    this.layer.show(features);
    this.layer.select(selected);
    this.measurePanel.show(state);
    this.annotatePanel.show(state);
    this.onChange(features);
  }
}
