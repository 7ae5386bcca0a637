/** What an element does with the entries of its topic: swap fragments, remove elements, fetch itself again. */

import { reload } from "./reload.js";

/** @typedef {import("./feed.js").Entry} Entry */
/**
 * @typedef {object} How
 * @property {(element: Element) => string | null} names the parts of templates that the element shows; null: all
 * @property {(element: Element, html: string) => void} swap
 * @property {(element: Element) => void} remove
 * @property {(element: Element) => void} refresh what is done if no listener has prevented it
 * @property {boolean} isRefetched whether `refresh` fetches the element
 */

export class LiveElement {
  #element;
  #isSigned;
  #how;

  /** @param {Element} element @param {boolean} isSigned @param {How} how */
  constructor(element, isSigned, how) {
    this.#element = element;
    this.#isSigned = isSigned;
    this.#how = how;
  }

  /** @param {Entry} entry */
  take(entry) {
    const { name, data, key, deleted, live } = entry;
    if (!this.#element.isConnected) return;
    if (name === "html" && deleted) this.#remove(key ?? "");
    else if (name === "html") this.#swap(data);
    else if (name === "refresh" && !deleted && (live || this.#isSigned)) this.#refresh(data.within);
  }

  stale() {
    if (this.#how.isRefetched) this.#refresh(0);
    else this.expired();
  }

  expired() {
    if (tell(this.#element, "expired")) reload();
  }

  /** @param {any} error */
  refused(error) {
    tell(this.#element, "refused", error);
  }

  /** @param {{ html: string, name: string }} data */
  #swap({ html, name }) {
    const names = this.#how.names(this.#element);
    if (!names || names.split(/\s+/).includes(name)) this.#how.swap(this.#element, html);
  }

  // The key of a fragment is the id of its element.
  /** @param {string} key */
  #remove(key) {
    const found = document.getElementById(key);
    if (found && this.#element.contains(found)) this.#how.remove(found);
  }

  /** @param {number} within seconds */
  #refresh(within) {
    if (within) return void setTimeout(() => this.#refresh(0), Math.random() * within * 1000);
    const element = this.#current();
    if (element && tell(element, "refresh")) this.#how.refresh(element);
  }

  // A fragment may have replaced the element meanwhile.
  #current() {
    return this.#element.isConnected ? this.#element : document.getElementById(this.#element.id);
  }
}

/**
 * @param {Element} element @param {string} name @param {any} [detail]
 * @returns {boolean} whether no listener has prevented the default
 */
function tell(element, name, detail) {
  return element.dispatchEvent(new CustomEvent(`realtime:${name}`, { bubbles: true, cancelable: true, detail }));
}
