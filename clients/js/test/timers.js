/** A clock of a client whose time only a test lets pass. */

export class Timers {
  #seconds = 0;
  #timers = new Set();

  constructor(serverTime = "2026-01-01T00:00:00.000Z") {
    this.server = Date.parse(serverTime);
  }

  get size() {
    return this.#timers.size;
  }

  now() {
    return this.#seconds;
  }

  serverNow() {
    return this.server + this.#seconds * 1000;
  }

  wallAt(moment) {
    return Date.parse("2026-01-01T00:00:00.000Z") + moment * 1000;
  }

  after(seconds, act) {
    const timer = { at: this.#seconds + seconds, act };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  pass(seconds) {
    this.#seconds += seconds;
    const due = [...this.#timers].filter(({ at }) => at <= this.#seconds);
    for (const timer of due) if (this.#timers.delete(timer)) timer.act();
  }
}
