/** Handlers by the type of an event. One that throws or rejects is reported, and hurts no other. */

import { failure } from "./errors.js";
import { iterate } from "./events.js";
import { report } from "./report.js";

/** @import { EventOf, Lifetime, Listening } from "./types.js" */

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
    const calls = this.#handlers.get(type) ?? new Set();
    const call = (/** @type {any[]} */ ...detail) => {
      if (once) stop();
      return /** @type {any} */ (handler)(...detail);
    };
    const stop = () => {
      calls.delete(call);
      if (!calls.size && this.#handlers.get(type) === calls) this.#handlers.delete(type);
      signal?.removeEventListener("abort", stop);
      this.listened();
    };
    this.#handlers.set(type, calls.add(call));
    signal?.addEventListener("abort", stop);
    this.listened();
    return stop;
  }

  /**
   * Iterate over the events of a type from now on, until the signal aborts. A topic gives its entries.
   * @template {keyof Events & string} Type
   * @param {Type} type
   * @param {Lifetime} [options]
   * @returns {AsyncGenerator<EventOf<Events[Type]>, void, undefined>}
   */
  events(type, { signal } = {}) {
    return iterate((handler) => this.on(type, /** @type {any} */ (handler)), signal, () => failure("overflow"));
  }

  /** @param {string} type @param {any[]} detail */
  emit(type, ...detail) {
    const calls = this.#handlers.get(type);
    for (const call of [...(calls ?? [])]) {
      if (!calls?.has(call)) continue; // an earlier handler has stopped it
      try {
        call(...detail)?.then?.(null, report);
      } catch (error) {
        report(error);
      }
    }
  }

  /** Called when a handler was added or stopped. */
  listened() {}
}
