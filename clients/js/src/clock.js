/** Durations by the monotonic clock, ages by the server's: setting the machine's clock changes neither. */

const JUMP_SECONDS = 5;
const MOST_MS = 2 ** 31 - 1; // of a timer: a longer one would fire at once

/** The clocks and timers of the machine; a test has its own. */
export const machine = {
  /** Seconds since the page began; they stand still while the machine sleeps. */
  now: () => performance.now() / 1000,
  wall: () => Date.now() / 1000,
  /** Call `act` after some seconds. Returns a function that prevents it. */
  after(seconds, act) {
    const timer = setTimeout(act, Math.min(seconds * 1000, MOST_MS));
    return () => clearTimeout(timer);
  },
};

export class Clock {
  #source;
  #server = NaN; // the server's time in seconds when `now()` was 0
  #apart;

  constructor(source = machine) {
    this.#source = source;
    this.#apart = this.#drift();
  }

  now() {
    return this.#source.now();
  }

  after(seconds, act) {
    return this.#source.after(seconds, act);
  }

  /** Return milliseconds of `Date.now()`, for a moment of `now()`. */
  wallAt(moment) {
    return (this.#source.wall() + moment - this.now()) * 1000;
  }

  /** The server's time in ms, or NaN before its first frame. */
  serverNow() {
    return (this.#server + this.now()) * 1000;
  }

  /** Set the server's time, which a frame may contain. */
  synchronize(serverTime) {
    this.#server = Date.parse(serverTime) / 1000 - this.now();
  }

  stamp() {
    const awake = this.now();
    return { awake, wall: this.#source.wall(), server: this.#server + awake };
  }

  /** Return the stamp of a moment of the server, which an earlier page has kept. */
  stampOf(serverMs) {
    return { awake: this.now(), wall: -Infinity, server: serverMs / 1000 };
  }

  /**
   * Seconds since a stamp. Sleep counts if both the server's time and the machine's clock show it:
   * one of them alone may be out of date, or was set.
   */
  age(stamp) {
    const { awake, wall, server } = this.stamp();
    const slept = Math.min(wall - stamp.wall, server - stamp.server) || 0;
    return Math.max(awake - stamp.awake, slept);
  }

  /** Whether the machine has slept, or its clock was set, since this was last asked. */
  hasJumped() {
    const before = this.#apart;
    this.#apart = this.#drift();
    return Math.abs(this.#apart - before) > JUMP_SECONDS;
  }

  #drift() {
    return this.#source.wall() - this.now();
  }
}
