/** Rooms or topics by name: each is the same object as long as the page refers to it, or uses it. */

export class Handles {
  #refs = new Map(); // name → WeakRef
  #make;
  #collected = new FinalizationRegistry((name) => this.find(name) ?? this.#refs.delete(name));

  /** `make(name)` makes one. */
  constructor(make) {
    this.#make = make;
  }

  find(name) {
    return this.#refs.get(name)?.deref();
  }

  get(name) {
    return this.find(name) ?? this.set(name, this.#make(name));
  }

  set(name, handle) {
    this.#refs.set(name, new WeakRef(handle));
    this.#collected.register(handle, name);
    return handle;
  }

  /** All that are still there. */
  *[Symbol.iterator]() {
    const found = [...this.#refs.values()].map((ref) => ref.deref());
    yield* new Set(found.filter(Boolean)); // a topic may have two names
  }
}
