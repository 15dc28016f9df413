import type { Inspection } from "../../viewer/src/inspection.js";

declare global {
  interface Window {
    everslide: Inspection;
  }
}
