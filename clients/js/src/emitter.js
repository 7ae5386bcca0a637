/** Handlers by the type of an event. */

import { whenAborted } from "./abort.js";
import { call } from "./report.js";

/** @import { Listening } from "./types.js" */

/** @template [Events=any] */
export class Emitter {
  /** @type {Map<string, Set<(...detail: any[]) => any>>} */
  #handlers = new Map(); // by type

  /** Whether anything listens. */
  get isHeard() {
    return this.#handlers.size > 0;
  }

  /**
   * Call `handler` for each event of a type, until the signal aborts. Returns a function that stops it.
   * @template {keyof Events & string} Type
   * @param {Type} type
   * @param {Events[Type]} handler
   * @param {Listening} [options]
   * @returns {() => void}
   */
  on(type, handler, { signal, once = false } = {}) {
    if (signal?.aborted) return () => {};
    const handlers = this.#handlers.get(type) ?? new Set();
    const handle = (/** @type {any[]} */ ...detail) => {
      if (once) stop();
      return /** @type {any} */ (handler)(...detail);
    };
    const stop = () => {
      handlers.delete(handle);
      if (!handlers.size && this.#handlers.get(type) === handlers) this.#handlers.delete(type);
      unwatch();
      this.listened();
    };
    const unwatch = whenAborted(signal, stop);
    this.#handlers.set(type, handlers.add(handle));
    this.listened();
    return stop;
  }

  /** @param {string} type @param {any[]} detail */
  emit(type, ...detail) {
    const handlers = this.#handlers.get(type);
    // Not one that an earlier handler has stopped.
    for (const handle of [...(handlers ?? [])]) if (handlers?.has(handle)) call(handle, ...detail);
  }

  /** Called when a handler was added or stopped. */
  listened() {}
}
