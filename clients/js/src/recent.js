/** The latest value of each key, for some seconds: cursors, and the users who are typing. */

import { Store } from "./store.js";

/**
 * @template K, V
 */
export class Recent {
  /** @type {Store<Map<K, V>>} */
  store;
  /** @type {Map<K, { value: V, end: number }>} */
  #entries = new Map(); // in the order in which they end
  #seconds;
  #clock;
  #stop = null;

  /**
   * @param {number} seconds how long an entry stays
   * @param {{ now(): number, after(seconds: number, act: () => void): () => void }} clock `after` returns a function that stops it
   */
  constructor(seconds, clock, call) {
    this.#seconds = seconds;
    this.#clock = clock;
    this.store = new Store(() => new Map([...this.#entries].map(([key, { value }]) => [key, value])), call);
  }

  put(key, value) {
    this.#entries.delete(key);
    this.#entries.set(key, { value, end: this.#clock.now() + this.#seconds });
    this.store.changed();
    this.#schedule();
  }

  delete(key) {
    if (this.#entries.delete(key)) this.store.changed();
  }

  clear() {
    this.#stop?.();
    this.#stop = null;
    if (this.#entries.size) this.store.changed();
    this.#entries.clear();
  }

  #schedule() {
    if (this.#stop || !this.#entries.size) return;
    const [{ end }] = this.#entries.values();
    this.#stop = this.#clock.after(end - this.#clock.now(), () => this.#expire());
  }

  #expire() {
    this.#stop = null;
    for (const [key, { end }] of this.#entries) if (end <= this.#clock.now()) this.delete(key);
    this.#schedule();
  }
}
