/** Making elements, short enough to read like the markup they stand for. */

type Value = string | number | boolean | ((event: never) => void);
type Child = Node | string | null;

/** `make("button", { type: "button", click: save }, "Save")`: functions listen, booleans switch, the rest are attributes. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, Value> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  dress(element, attributes, children);
  return element;
}

/** The same for a picture's elements. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Record<string, Value> = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  dress(element, attributes, children);
  return element;
}

function dress(element: Element, attributes: Record<string, Value>, children: Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value as EventListener);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else element.setAttribute(name, String(value));
  }
  for (const child of children) if (child !== null) element.append(child);
}

/** An icon of strokes on a grid of 24, named by its paths. */
export function icon(paths: string): SVGSVGElement {
  return svg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true", class: "icon" }, svg("path", { d: paths }));
}

/** A plain button with words. */
export function button(words: string, click: () => void, attributes: Record<string, Value> = {}): HTMLButtonElement {
  return make("button", { type: "button", class: "button", click, ...attributes }, words);
}

/** A labelled field: the words above, the control below. */
export function field(words: string, control: HTMLElement): HTMLLabelElement {
  return make("label", { class: "field" }, make("span", {}, words), control);
}

/** A switch with its words. */
export function checkbox(words: string, change: (on: boolean) => void, on = false): HTMLLabelElement {
  const input = make("input", { type: "checkbox", checked: on, change: () => change(input.checked) });
  return make("label", { class: "check" }, input, make("span", {}, words));
}

/** Has the browser keep a file. */
export function download(content: Blob, name: string): void {
  const link = make("a", { href: URL.createObjectURL(content), download: name });
  link.click();
  // The browser reads the content after this turn.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** The element of an id that the page's markup is known to have. */
export function part(id: string): HTMLElement {
  return document.getElementById(id) as HTMLElement;
}
