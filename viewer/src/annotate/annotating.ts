/** Annotations as a person meets them: drawing, choosing, labelling, measuring, saving, exchanging with QuPath. */

import type { Position } from "../geometry.js";
import type { Slide } from "../api.js";
import type { Connection } from "../connection.js";
import { LeftBehind } from "../leftBehind.js";
import type { Notices } from "../notices.js";
import { type SetAside, setAsideWords } from "../setAside.js";
import type { Stage } from "../stage.js";
import { Drawing, type Tool } from "./drawing.js";
import { Editing } from "./editing.js";
import { Exchange } from "./exchange.js";
import { colorOf, type Feature, featureOf, isLocked, labelOf, PLAIN, relabelled, type Rgb } from "./feature.js";
import { KeyboardEditing } from "./keyboardEditing.js";
import { MarksLayer } from "./layer.js";
import { AnnotatePanel, MeasurePanel, type PanelActions } from "./panel.js";
import { boundsOf, type Geometry, isHit } from "./shapes.js";
import { addressOf, AnnotationStore, type LeftOut } from "./store.js";

const HIT_PX = 7;

export class Annotating {
  readonly layer: MarksLayer;
  readonly measurePanel: MeasurePanel;
  readonly annotatePanel: AnnotatePanel;
  readonly keyboard: KeyboardEditing;
  readonly #stage: Stage;
  readonly #connection: Connection;
  readonly #notices: Notices;
  readonly #drawing: Drawing;
  readonly #editing: Editing;
  readonly #exchange: Exchange;
  #store: AnnotationStore | null = null;
  readonly #left = new LeftBehind<AnnotationStore>();
  /** What could not be read of the last file, by slide. */
  readonly #leftOut = new Map<string, readonly LeftOut[]>();
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
    this.layer = new MarksLayer(stage, {
      grab: (index, event) => this.#editing.grab(index, event),
      split: (index, at, event) => this.#editing.split(index, at, event),
      drop: (index) => this.#dropCorner(index),
    });
    this.measurePanel = new MeasurePanel({ ...this.#actions, choose: (tool) => this.measure(tool) });
    this.annotatePanel = new AnnotatePanel(this.#actions);
    this.#drawing = new Drawing({
      stage,
      onDraft: (geometry) => this.layer.draft(geometry && featureOf(geometry, "", this.#newColor, "draft")),
      onDone: (geometry) => this.#done(geometry),
      onClick: (at) => this.#select(this.#at(at)),
    });
    const editable = (): Feature | null => (this.#drawing.tool ? null : this.selected);
    this.#editing = new Editing({
      stage,
      editable,
      reachPx: HIT_PX,
      onDraft: (feature) => this.layer.draft(feature),
      onDone: (feature, run) => this.#store?.put(feature, run ? `${feature.id} ${run}` : null),
      onCorner: (index) => this.layer.handles.choose(this.layer.handles.chosen === index ? null : index),
    });
    this.keyboard = new KeyboardEditing({ stage, notices, layer: this.layer, editing: this.#editing, editable });
    this.#exchange = new Exchange({
      notices,
      onLeftOut: (store, leftOut) => {
        this.#leftOut.set(store.slide.id, leftOut);
        if (store === this.#store) this.annotatePanel.showLeftOut(leftOut);
      },
      isShown: (store) => store === this.#store,
    });
    this.#show();
  }

  readonly #actions: PanelActions = {
    choose: (tool) => this.choose(tool),
    go: (feature) => this.#go(feature),
    remove: (feature) => this.remove(feature.id),
    relabel: (label, color) => this.#relabel(label, color),
    importFile: (file) => void (this.#store && this.#exchange.importFile(this.#store, file)),
    exportFile: (kind) => {
      const slide = this.#slide;
      if (slide)
        void this.#exchange.exportFile(kind, slide.id, addressOf(slide), this.features, this.#store?.unsaved ?? 0);
    },
    removeAll: (label) => this.#removeAll(label),
    lock: (locked) => this.#lock(locked),
    saveAgain: () => this.#store?.retry(),
    undo: () => {
      if (!this.undo()) this.#notices.show("undo", "There is nothing to undo on this page.");
    },
  };

  get features(): readonly Feature[] {
    return this.#store?.features ?? [];
  }

  get selected(): Feature | null {
    return (this.#selected !== null && this.#store?.get(this.#selected)) || null;
  }

  /** Unsaved annotations, of slides that were left too: leaving the page now would lose them. */
  get unsaved(): number {
    return (this.#store?.unsaved ?? 0) + this.#left.unsaved;
  }

  get tool(): Tool | null {
    return this.#drawing.tool;
  }

  open(slide: Slide): void {
    if (this.#slide && this.#store) this.#left.leave(this.#slide.id, this.#store);
    this.#slide = slide;
    this.#selected = null;
    this.#drawing.cancel();
    this.#store = this.#left.take(slide.id) ?? this.#storeOf(slide);
    this.annotatePanel.showLeftOut(this.#leftOut.get(slide.id) ?? []);
    this.#notices.dismiss("set-aside");
    void this.#store.load();
    this.#show();
  }

  #storeOf(slide: Slide): AnnotationStore {
    return new AnnotationStore({
      slide,
      connection: this.#connection,
      onChange: () => this.#show(),
      onRefused: (error) => this.#notices.showError(error),
      onSetAside: (odd) => this.#showSetAside(odd),
    });
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

  /** Enter: while drawing, a corner where the view's middle is; behind a chosen corner, one more. False where neither. */
  putCorner(): boolean {
    if (!this.#drawing.tool) return this.keyboard.addCorner();
    this.#drawing.putCorner();
    return true;
  }

  /** Escape: gives up the shape begun, then the chosen corner, the tool, the choice; false where there is none of them. */
  cancel(): boolean {
    if (this.#drawing.cancel()) return true;
    if (this.keyboard.letGo()) return true;
    if (this.#drawing.tool) this.choose(null);
    else if (this.#selected) this.#select(null);
    else return false;
    return true;
  }

  /** Delete: the chosen corner, else the chosen annotation. */
  remove(id: string | null = this.#selected): void {
    if (id === null) return;
    const { chosen } = this.layer.handles;
    if (id === this.#selected && chosen !== null) return this.#dropCorner(chosen);
    this.#store?.change(new Map([[id, null]]));
    if (id === this.#selected) this.#select(null);
  }

  /** Takes back the last step; false where there is none. */
  undo(): boolean {
    return this.#store?.undo() ?? false;
  }

  #dropCorner(index: number): void {
    if (this.#editing.drop(index)) return;
    this.#notices.show("corner", "A shape needs its last corners.", "Delete the whole annotation instead.", 5000);
  }

  /** Deletes all annotations, or those of a label, in one step. */
  #removeAll(label: string | null): void {
    const gone = this.features.filter((feature) => label === null || labelOf(feature) === label);
    if (gone.length === 0) return;
    this.#store?.change(new Map(gone.map(({ id }) => [id, null])));
    if (!this.selected) this.#select(null);
    const words = gone.length === 1 ? "1 annotation" : `${gone.length} annotations`;
    this.#notices.show("deleted", `${words} deleted.`, "Undo (Ctrl+Z) brings them back.", 10_000);
  }

  #lock(locked: boolean): void {
    const chosen = this.selected;
    if (chosen) this.#store?.put({ ...chosen, properties: { ...chosen.properties, isLocked: locked } });
  }

  #showSetAside(odd: readonly SetAside[]): void {
    this.annotatePanel.showLeftOut(odd.map(({ id, why }) => ({ place: id, why })));
    this.#notices.show("set-aside", ...setAsideWords("annotation", odd));
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

  #show(): void {
    const features = this.features;
    const selected = this.selected;
    const { tool } = this;
    const store = this.#store;
    const refused = store?.refused ?? new Map<string, string>();
    const saving = {
      unsaved: store?.unsaved ?? 0,
      refused,
      importing: store?.importing ?? false,
      loaded: store?.loaded ?? false,
    };
    const locked = selected !== null && isLocked(selected);
    const state = { features, selected, locked, tool, label: this.#label, color: this.#color, saving };
    this.layer.show(features, selected, new Set(refused.keys()));
    this.measurePanel.show(state);
    this.annotatePanel.show(state);
    this.onChange(features);
  }
}
