/** The page: wires the slide, the painting, the controls and the link together. */

import { App } from "./app.js";
import { listenToKeys } from "./keyboard.js";
import { stateOf, type Inspection } from "./inspection.js";

const app = new App(document);
const buttons: Record<string, () => void> = {
  "zoom-in": app.actions.zoom.bind(app.actions, 2),
  "zoom-out": app.actions.zoom.bind(app.actions, 0.5),
  home: app.actions.home,
  fullscreen: app.actions.fullscreen,
  help: app.actions.help,
  "help-close": () => (document.getElementById("help-dialog") as HTMLDialogElement).close(),
};
for (const [id, action] of Object.entries(buttons)) {
  document.getElementById(id)?.addEventListener("click", () => action());
}
listenToKeys(app.actions);

const inspection: Inspection = {
  viewer: app.stage.viewer,
  state: () => stateOf(app.stage, app.painting, app.connection.up),
};
Object.assign(window, { everslide: inspection });
void app.start();
