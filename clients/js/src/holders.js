/**
 * The holders of a room or topic, each of which lasts until its signal aborts, or without a signal until `leave()`; and
 * the promise that the room or topic is entered.
 */

import { whenAborted } from "./abort.js";
import { deferred, handled } from "./deferred.js";
import { failure } from "./errors.js";

/** The holder without a signal. */
const OWN = {};

export class Holders {
  #all = new Map(); // OWN or a signal → { linger, waiting, stop }
  /** @type {(() => void) | null} */
  #lingering = null; // stops the timer
  #ready = deferred();
  #isOver = false; // whether `ready` has been rejected: the next holder makes another one
  #clock;
  #ended;

  /** `ended()` is called when the last holder is gone, and its `linger` seconds have passed. */
  constructor(clock, ended) {
    this.#clock = clock;
    this.#ended = ended;
  }

  get isEmpty() {
    return !this.#all.size && !this.isLingering;
  }

  /** Whether the last holder is gone, and its `linger` seconds have not passed. */
  get isLingering() {
    return this.#lingering !== null;
  }

  /** A promise that settles once the log is entered, and is the same until the next holder after an end. */
  get ready() {
    return this.#ready.promise;
  }

  /** Add a holder, unless there is one with this signal. Returns a promise that settles as `ready`, or when the holder ends. */
  add(signal, linger) {
    this.#renew();
    this.#stopLingering();
    const holder = signal ?? OWN;
    const held = this.#all.get(holder) ?? { linger, waiting: new Set(), stop: this.#watch(signal) };
    const { waiting } = held; // a function for each join that may still be rejected
    this.#all.set(holder, held);
    return handled(new Promise((resolve, reject) => {
      waiting.add(reject);
      this.ready.then(resolve, reject).then(() => waiting.delete(reject));
    }));
  }

  /** The log is entered. */
  entered(owner) {
    this.#ready.resolve(owner);
  }

  /** End one holder. */
  release(holder = OWN) {
    const held = this.#all.get(holder);
    if (!held) return;
    held.stop();
    this.#all.delete(holder);
    if (!this.#all.size && held.linger) this.#lingering = this.#clock.after(held.linger, () => this.#ended());
    else if (!this.#all.size) this.#ended();
    const error = failure(holder === OWN ? "left" : "aborted", "not_sent");
    for (const reject of held.waiting) reject(error);
  }

  /** Forget all holders. */
  clear(error) {
    this.#stopLingering();
    this.stop(error);
    this.#all.clear();
  }

  /** Reject what waits, and listen to the signals no longer. */
  stop(error) {
    this.#ready.reject(error);
    this.#isOver = true;
    for (const { stop } of this.#all.values()) stop();
  }

  /** Listen to the signals again, some of which may have aborted meanwhile. */
  restart() {
    this.#renew();
    for (const [holder, held] of this.#all) {
      if (holder !== OWN) held.stop = this.#watch(holder);
      if (holder.aborted) this.release(holder);
    }
  }

  #renew() {
    if (this.#isOver) this.#ready = deferred();
    this.#isOver = false;
  }

  #watch(signal) {
    return whenAborted(signal, () => this.release(signal));
  }

  #stopLingering() {
    this.#lingering?.();
    this.#lingering = null;
  }
}
