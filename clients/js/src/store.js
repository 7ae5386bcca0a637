/** Stores: immutable snapshots that a screen reads and follows. */

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
  #call;
  #snapshot;
  #isStale = false;
  #isTelling = false;
  /** @type {Set<{ handler: (snapshot: T) => void, seen?: T }>} */
  #listeners = new Set();

  /**
   * @param {() => T} make makes a snapshot; a part that did not change must be the same object in it
   * @param {(handler: (snapshot: T) => void, snapshot: T) => void} call calls a handler, which may throw
   */
  constructor(make, call = (handler, snapshot) => handler(snapshot)) {
    this.#make = make;
    this.#call = call;
    this.initial = this.#snapshot = Object.freeze(make());
  }

  /** Whether a screen follows the store. */
  get isFollowed() {
    return this.#listeners.size > 0;
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
    /** @type {{ handler: (snapshot: T) => void, seen?: T }} */
    const listener = { handler };
    this.#listeners.add(listener);
    this.#tell(listener);
    return () => void this.#listeners.delete(listener);
  };

  /** Record that a part may have changed. Handlers are called once for all changes of a frame, in a microtask. */
  changed() {
    this.#isStale = true;
    if (this.#isTelling || !this.isFollowed) return;
    this.#isTelling = true;
    queueMicrotask(() => {
      this.#isTelling = false;
      for (const listener of this.#listeners) this.#tell(listener);
    });
  }

  /** @param {{ handler: (snapshot: T) => void, seen?: T }} listener */
  #tell(listener) {
    const snapshot = this.get();
    if (listener.seen === snapshot) return;
    listener.seen = snapshot;
    this.#call(listener.handler, snapshot);
  }
}

// A `Map` has no keys here: its owner makes a new one only if it has changed.
function isSame(after, before) {
  const keys = Object.keys(after);
  return keys.length > 0 && keys.every((key) => Object.is(after[key], before[key]));
}
