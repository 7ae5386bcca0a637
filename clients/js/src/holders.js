/** The holders of a room or topic: each lasts until its signal aborts, or without a signal until `leave()`. */

import { failure } from "./errors.js";

/** The holder without a signal. */
const OWN = {};

export class Holders {
  #all = new Map(); // OWN or a signal → { linger, waiting, stop }
  /** @type {(() => void) | null} */
  #lingering = null; // stops the timer
  #clock;
  #ended;

  /** `ended()` is called when the last holder is gone, and its `linger` seconds have passed. */
  constructor(clock, ended) {
    this.#clock = clock;
    this.#ended = ended;
  }

  get isEmpty() {
    return !this.#all.size && !this.isLingering;
  }

  /** Whether the last holder is gone, and its `linger` seconds have not passed. */
  get isLingering() {
    return this.#lingering !== null;
  }

  /**
   * Add a holder, unless there is one with this signal. Returns the set of functions that get the error with which it
   * ends: each join that still waits has one.
   */
  add(signal, linger) {
    this.#stopLingering();
    const holder = signal ?? OWN;
    const held = this.#all.get(holder) ?? { linger, waiting: new Set(), stop: this.#watch(signal) };
    this.#all.set(holder, held);
    return held.waiting;
  }

  /** End one holder. */
  release(holder = OWN) {
    const held = this.#all.get(holder);
    if (!held) return;
    held.stop();
    this.#all.delete(holder);
    if (!this.#all.size && held.linger) this.#lingering = this.#clock.after(held.linger, () => this.#ended());
    else if (!this.#all.size) this.#ended();
    const error = failure(holder === OWN ? "left" : "aborted", "not_sent");
    for (const reject of held.waiting) reject(error);
  }

  /** Forget all holders. */
  clear() {
    this.#stopLingering();
    this.stop();
    this.#all.clear();
  }

  /** Listen to the signals no longer. */
  stop() {
    for (const { stop } of this.#all.values()) stop();
  }

  /** Listen to the signals again, some of which may have aborted meanwhile. */
  restart() {
    for (const [holder, held] of this.#all) {
      if (holder !== OWN) held.stop = this.#watch(holder);
      if (holder.aborted) this.release(holder);
    }
  }

  // Returns a function that ends the listening.
  #watch(signal) {
    const ended = () => this.release(signal);
    signal?.addEventListener("abort", ended);
    return () => signal?.removeEventListener("abort", ended);
  }

  #stopLingering() {
    this.#lingering?.();
    this.#lingering = null;
  }
}
