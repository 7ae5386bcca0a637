/** Durations by the monotonic clock, ages by the server's: setting the machine's clock changes neither. */

const JUMP_MS = 5000;

/** Seconds since the page began; they stand still while the machine sleeps. */
export const now = () => performance.now() / 1000;

export class Clock {
  #server = NaN; // the server's time when `performance.now()` was 0, in ms
  #apart = Date.now() - performance.now();

  now() {
    return now();
  }

  /** Set the server's time, which a frame may contain. */
  synchronize(serverTime) {
    this.#server = Date.parse(serverTime) - performance.now();
  }

  stamp() {
    const awake = performance.now();
    return { awake, wall: Date.now(), server: this.#server + awake };
  }

  /**
   * Seconds since a stamp. Sleep counts if both the server's time and the machine's clock show it:
   * one of them alone may be out of date, or was set.
   */
  age(stamp) {
    const { awake, wall, server } = this.stamp();
    const slept = Math.min(wall - stamp.wall, server - stamp.server) || 0;
    return Math.max(awake - stamp.awake, slept) / 1000;
  }

  /** Whether the machine has slept, or its clock was set, since this was last asked. */
  hasJumped() {
    const before = this.#apart;
    this.#apart = Date.now() - performance.now();
    return Math.abs(this.#apart - before) > JUMP_MS;
  }
}
