/** Stores: immutable snapshots that a screen reads and follows. */

import { call } from "./report.js";

/**
 * A snapshot of something that changes.
 * @template T
 */
export class Store {
  /**
   * The first snapshot, which never changes: a server renders it, and its page begins with it.
   * @type {T}
   */
  initial;
  #make;
  #snapshot;
  #isStale = true;
  #isTelling = false;
  #listened;
  /** @type {Set<(snapshot: T) => void>} */
  #handlers = new Set();

  /**
   * `make()` makes a snapshot; a part that did not change must be the same object in it.
   * `listened()` is called when a handler was added or stopped.
   * @param {T} initial
   * @param {() => T} make
   * @param {() => void} [listened]
   */
  constructor(initial, make, listened = () => {}) {
    this.initial = this.#snapshot = Object.freeze(initial);
    this.#make = make;
    this.#listened = listened;
  }

  /** Whether anything follows it. */
  get isHeard() {
    return this.#handlers.size > 0;
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
      if (snapshot !== seen) call(handler, (seen = snapshot));
    };
    this.#handlers.add(tell);
    this.#listened();
    tell(this.get());
    return () => {
      this.#handlers.delete(tell);
      this.#listened();
    };
  };

  /** Record that a part may have changed. Handlers are called once for all changes of a frame, in a microtask. */
  changed() {
    this.#isStale = true;
    if (this.#isTelling || !this.isHeard) return;
    this.#isTelling = true;
    queueMicrotask(() => {
      this.#isTelling = false;
      for (const tell of [...this.#handlers]) if (this.#handlers.has(tell)) tell(this.get());
    });
  }

  /** Take an event of what the store shows. @param {string} _type @param {any} _detail */
  take(_type, _detail) {}
}

// A `Map` has no keys here: its owner makes a new one only if it has changed.
/** @param {any} after @param {any} before */
function isSame(after, before) {
  const keys = Object.keys(after);
  return keys.length > 0 && keys.every((key) => Object.is(after[key], before[key]));
}
