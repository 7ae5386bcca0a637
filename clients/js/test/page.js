/** A document in Node, and a topic that a test emits entries on, for tests of the modules in `src/html`. */

import { JSDOM } from "jsdom";

const NAMES = ["document", "location", "Element", "Node", "MutationObserver", "DOMParser", "CustomEvent"];

/** Make the document of this process anew. */
export function open(html) {
  const { window } = new JSDOM(html, { url: "https://example.com/orders/" });
  for (const name of NAMES) globalThis[name] = window[name];
  globalThis.window = window;
  return window.document;
}

/** Wait until observers of the document were called. */
export const settled = () => new Promise((resolve) => setTimeout(resolve));

/** The text of a signature that was made `seconds` after 1970. */
export function signed(seconds, topic = "order/7") {
  return `${topic} ${btoa(JSON.stringify([topic, "1", seconds, null])).replaceAll("=", "")}:a:b`;
}

export class FakeTopic {
  position = null;
  subscribed = []; // the options of each call
  #handlers = [];

  on(type, handler, { signal }) {
    this.#handlers.push([type, handler]);
    signal.addEventListener("abort", () => (this.#handlers = this.#handlers.filter(([, one]) => one !== handler)));
  }

  subscribe(options) {
    this.subscribed.push(options);
  }

  emit(type, detail) {
    for (const [name, handler] of [...this.#handlers]) if (name === type) handler(detail);
  }

  /** Emit a fragment that was published so many seconds after 1970. */
  html(html, { at = 1000, name = "", ...fields } = {}) {
    this.position ??= { seq: 1, epoch: "e" };
    const entry = { name: "html", data: { html, name }, at: new Date(at * 1000).toISOString(), deleted: false, live: true };
    this.emit("event", { ...entry, ...fields });
  }

  get isHeld() {
    return this.subscribed.some(({ signal }) => !signal.aborted);
  }

  get isHeard() {
    return this.#handlers.length > 0;
  }
}
