/** Objects by name: each name gives the same object as long as the page refers to it, or something keeps it. */

export class WeakNames {
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

  set(name, made) {
    this.#refs.set(name, new WeakRef(made));
    this.#collected.register(made, name);
    return made;
  }

  /** All that are still there. */
  *[Symbol.iterator]() {
    const found = [...this.#refs.values()].map((ref) => ref.deref());
    yield* new Set(found.filter(Boolean)); // a topic may have two names
  }
}
