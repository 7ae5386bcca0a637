/** Handlers by the type of an event. One that throws or rejects is reported, and hurts no other. */

const report = (error) => (globalThis.reportError ?? console.error)(error);

export class Emitter {
  #handlers = new Map(); // type → Set of calls

  /** Whether anything listens. */
  get isHeard() {
    return this.#handlers.size > 0;
  }

  /** Call `handler` for each event of a type, until the signal aborts. Returns a function that stops it. */
  on(type, handler, { signal, once = false } = {}) {
    if (signal?.aborted) return () => {};
    const calls = this.#handlers.get(type) ?? new Set();
    const call = (...detail) => {
      if (once) stop();
      return handler(...detail);
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

  emit(type, ...detail) {
    const calls = this.#handlers.get(type);
    for (const call of [...(calls ?? [])]) {
      if (!calls.has(call)) continue; // an earlier handler has stopped it
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
