/** Rooms or topics by name: kept while they are used, and otherwise as long as the page refers to them. */

export class Handles {
  #refs = new Map(); // name → WeakRef
  #used = new Set();
  #collected = new FinalizationRegistry((name) => this.find(name) ?? this.#refs.delete(name));

  find(name) {
    return this.#refs.get(name)?.deref();
  }

  set(name, handle) {
    this.#refs.set(name, new WeakRef(handle));
    this.#collected.register(handle, name);
    return handle;
  }

  /** Keep a handle from being collected as long as it is used. */
  weigh(handle) {
    if (handle.isUsed) this.#used.add(handle);
    else this.#used.delete(handle);
  }

  /** All that are still there. */
  *[Symbol.iterator]() {
    const found = [...this.#refs.values()].map((ref) => ref.deref());
    yield* new Set(found.filter(Boolean)); // a topic may have two names
  }
}
