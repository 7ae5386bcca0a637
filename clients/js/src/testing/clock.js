/** A clock that moves when the test says so. */

const TURNS = 50; // of the queue of microtasks, which finish what a timer has begun

/** @typedef {{ due: number, act: () => void }} Timer */

export class FakeClock {
  #seconds = 0;
  #began = Date.parse("2030-01-01T00:00:00Z") / 1000;
  /** @type {Set<Timer>} */
  #timers = new Set();

  /** Seconds since the clock was made. */
  now() {
    return this.#seconds;
  }

  /** The time of day, in seconds since 1970. */
  wall() {
    return this.#began + this.#seconds;
  }

  /**
   * Call `act` in some seconds. Returns a function that stops it.
   * @param {number} seconds
   * @param {() => void} act
   */
  after(seconds, act) {
    const timer = { due: this.#seconds + Math.max(0, seconds), act };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** How many timers are waiting: none once a client is closed. */
  get waiting() {
    return this.#timers.size;
  }

  /**
   * Let time pass, and call what is due in order. What the timers begin is done when the promise settles.
   * @param {number} seconds
   */
  async tick(seconds) {
    const end = this.#seconds + seconds;
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#seconds = next.due;
      this.#timers.delete(next);
      next.act();
      await settled();
    }
    this.#seconds = end;
    await settled();
  }

  /** @param {number} end */
  #next(end) {
    const due = [...this.#timers].filter((timer) => timer.due <= end);
    return due.sort((a, b) => a.due - b.due)[0];
  }
}

/** Wait until what was begun is done, as far as it waits for nothing but promises. */
export async function settled() {
  for (let turn = 0; turn < TURNS; turn++) await null;
}
