/** The page: wires buttons, keys and the app together. */

import { App } from "./app.js";
import { part } from "./dom.js";
import { type Inspection, stateOf } from "./inspection.js";
import { listenToKeys } from "./keyboard.js";

const app = new App();
const buttons: Record<string, () => void> = {
  "zoom-in": () => app.actions.zoom(2),
  "zoom-out": () => app.actions.zoom(0.5),
  rotate: () => app.actions.rotate(15),
  home: app.actions.home,
  fullscreen: app.actions.fullscreen,
  help: app.actions.help,
  "new-slide": app.actions.newSlide,
  "edit-slide": app.actions.editSlide,
  "copy-link": app.actions.copyLink,
};
for (const [id, action] of Object.entries(buttons)) part(id).addEventListener("click", () => action());
listenToKeys(app.actions);

const inspection: Inspection = {
  viewer: app.stage.viewer,
  viewers: () => app.tools.comparison.panes.map((pane) => pane.stage.viewer),
  state: () => stateOf(app),
};
Object.assign(window, { everslide: inspection });
void app.start();
