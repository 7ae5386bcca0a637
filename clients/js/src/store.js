/** Stores: immutable snapshots that a screen reads and follows. */

import { Emitter } from "./emitter.js";

/**
 * A snapshot of something that changes.
 * @template T
 */
export class Store extends Emitter {
  /**
   * The first snapshot, which never changes: a server renders it, and its page begins with it.
   * @type {T}
   */
  initial;
  #make;
  #snapshot;
  #isStale = false;
  #isTelling = false;

  /** @param {() => T} make makes a snapshot; a part that did not change must be the same object in it */
  constructor(make) {
    super();
    this.#make = make;
    this.initial = this.#snapshot = Object.freeze(make());
  }

  /**
   * Return the current snapshot, which is the same object until something changes.
   * @type {() => T}
   */
  get = () => {
    if (this.#isStale) {
      this.#isStale = false;
      const snapshot = this.#make();
      if (!isSame(snapshot, this.#snapshot)) this.#snapshot = Object.freeze(snapshot);
    }
    return this.#snapshot;
  };

  /**
   * Call `handler` with the snapshot, now and after each change. Returns a function that stops it.
   * @type {(handler: (snapshot: T) => void) => () => void}
   */
  subscribe = (handler) => {
    /** @type {T | undefined} */
    let seen;
    const tell = (/** @type {T} */ snapshot) => {
      if (snapshot !== seen) handler((seen = snapshot));
    };
    const stop = this.on("change", tell);
    tell(this.get());
    return stop;
  };

  /** Record that a part may have changed. Handlers are called once for all changes of a frame, in a microtask. */
  changed() {
    this.#isStale = true;
    if (this.#isTelling || !this.isHeard) return;
    this.#isTelling = true;
    queueMicrotask(() => {
      this.#isTelling = false;
      this.emit("change", this.get());
    });
  }
}

// A `Map` has no keys here: its owner makes a new one only if it has changed.
/** @param {any} after @param {any} before */
function isSame(after, before) {
  const keys = Object.keys(after);
  return keys.length > 0 && keys.every((key) => Object.is(after[key], before[key]));
}
