/** The tools of the page, and how they hear of what happens: another slide, another view, something painted. */

import { Filter } from "./adjust/filter.js";
import { AdjustPanel } from "./adjust/panel.js";
import { Annotating } from "./annotate/annotating.js";
import type { Slide } from "./api.js";
import { Comparison } from "./compare/comparison.js";
import type { Connection } from "./connection.js";
import { Dock, type DockTool } from "./dock.js";
import { part } from "./dom.js";
import { Sharing } from "./export/sharing.js";
import { Inspecting } from "./inspect/inspecting.js";
import type { Notices } from "./notices.js";
import type { Pane } from "./pane.js";
import { Teaching } from "./teach/teaching.js";

export interface ToolsOptions {
  readonly pane: Pane;
  readonly connection: Connection;
  readonly notices: Notices;
  readonly slides: () => readonly Slide[];
  readonly present: () => void;
}

export class Tools {
  readonly annotating: Annotating;
  readonly sharing: Sharing;
  readonly comparison: Comparison;
  readonly inspecting: Inspecting;
  readonly teaching: Teaching;
  readonly dock: Dock;

  constructor({ pane, connection, notices, slides, present }: ToolsOptions) {
    const frame = part("panes");
    const filter = new Filter(document);
    filter.add(part("slide"));
    const adjust = new AdjustPanel((adjustment) => filter.set(adjustment));
    this.annotating = new Annotating(pane.stage, connection, notices);
    this.inspecting = new Inspecting(pane, connection);
    this.comparison = new Comparison({ main: pane, frame, connection, notices, filter, slides });
    this.sharing = new Sharing({
      pane,
      panes: () => this.comparison.panes,
      frame,
      annotating: this.annotating,
      adjustment: () => adjust.now,
      connection,
      notices,
    });
    this.teaching = new Teaching({
      stage: pane.stage,
      connection,
      notices,
      annotating: this.annotating,
      slides,
      present,
    });
    part("pane").append(this.inspecting.overlay.element, ...this.annotating.layer.elements);
    part("stage").append(this.teaching.card.element);
    this.annotating.onChange = () => this.sharing.panel.refresh();
    pane.stage.viewer.addHandler("canvas-click", (event) => {
      const at = event.quick ? pane.stage.fromScreen([event.position.x, event.position.y]) : null;
      if (at) this.inspecting.clicked(...at);
    });
    this.dock = new Dock(part("rail"), part("panel"), this.#rail(adjust));
    addEventListener("beforeunload", (event) => {
      if (this.unsaved > 0) event.preventDefault();
    });
  }

  /** Annotations and tours that the server does not have yet. */
  get unsaved(): number {
    return this.annotating.unsaved + this.teaching.unsaved;
  }

  #rail(adjust: AdjustPanel): DockTool[] {
    const { annotating, inspecting, comparison, sharing, teaching } = this;
    const noTool = (): void => annotating.choose(null);
    return [
      {
        id: "measure",
        label: "Measure",
        key: "m",
        icon: "measure",
        title: "Measure",
        panel: annotating.measurePanel.element,
        onOpen: () => annotating.measure("line"),
        onClose: noTool,
      },
      {
        id: "annotate",
        label: "Annotate",
        key: "a",
        icon: "annotate",
        title: "Annotate",
        panel: annotating.annotatePanel.element,
        onClose: noTool,
      },
      { id: "adjust", label: "Adjust", key: "b", icon: "adjust", title: "Adjust the picture", panel: adjust.element },
      {
        id: "compare",
        label: "Compare",
        key: "c",
        icon: "compare",
        title: "Compare slides",
        panel: comparison.panel.element,
        onOpen: () => comparison.refresh(),
      },
      {
        id: "inspect",
        label: "Inspect",
        key: "i",
        icon: "inspect",
        title: "Inspect tiles",
        panel: inspecting.element,
        onOpen: () => (inspecting.open = true),
        onClose: () => (inspecting.open = false),
      },
      {
        id: "tours",
        label: "Tours",
        key: "t",
        icon: "tours",
        title: "Tours and teaching",
        panel: teaching.panel.element,
      },
      {
        id: "share",
        label: "Export",
        key: "e",
        icon: "share",
        title: "Export and share",
        panel: sharing.panel.element,
        onOpen: () => sharing.panel.refresh(),
      },
    ];
  }

  /** Another slide is shown. */
  opened(slide: Slide): void {
    this.annotating.open(slide);
    this.teaching.open(slide);
    this.comparison.refresh();
  }

  /** The view of the main slide moved. */
  moved(): void {
    this.comparison.mainMoved();
    this.inspecting.refresh();
    if (this.dock.open === "share") this.sharing.panel.refresh();
  }

  /** A tile of the main slide changed its state. */
  painted(): void {
    this.inspecting.refresh();
  }
}
