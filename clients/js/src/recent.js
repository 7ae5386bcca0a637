/** The latest value of each key, for some seconds: cursors, and the users who are typing. */

/**
 * @template K, V
 */
export class Recent {
  /**
   * The values by their keys. The map is replaced when it changes.
   * @type {Map<K, V>}
   */
  all = new Map();
  /** @type {Map<K, number>} */
  #ends = new Map(); // in their order
  #seconds;
  #clock;
  #changed;
  #running;
  /** @type {(() => void) | null} */
  #stop = null;

  /**
   * @param {number} seconds how long a value stays
   * @param {{ now(): number, after(seconds: number, act: () => void): () => void }} clock
   * @param {() => void} changed
   * @param {Set<Recent<any, any>>} [running] contains this one while it has a timer
   */
  constructor(seconds, clock, changed, running = new Set()) {
    this.#seconds = seconds;
    this.#clock = clock;
    this.#changed = changed;
    this.#running = running;
  }

  /** @param {K} key @param {V} value */
  put(key, value) {
    this.all = new Map(this.all).set(key, value);
    this.#ends.delete(key);
    this.#ends.set(key, this.#clock.now() + this.#seconds);
    this.#changed();
    this.#schedule();
  }

  /** @param {K} key */
  delete(key) {
    if (!this.#ends.delete(key)) return;
    this.all = new Map(this.all);
    this.all.delete(key);
    this.#changed();
  }

  clear() {
    this.#stop?.();
    this.#stopped();
    for (const key of this.#ends.keys()) this.delete(key);
  }

  // One timer for all.
  #schedule() {
    const [end] = this.#ends.values();
    if (this.#stop || end === undefined) return;
    this.#running.add(this);
    this.#stop = this.#clock.after(end - this.#clock.now(), () => this.#expire());
  }

  #stopped() {
    this.#running.delete(this);
    this.#stop = null;
  }

  #expire() {
    this.#stopped();
    for (const [key, end] of this.#ends) if (end <= this.#clock.now()) this.delete(key);
    this.#schedule();
  }
}
