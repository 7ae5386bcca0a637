/**
 * The streams of a line of requests, or its polls where a proxy lets no stream through: one after another, each of which
 * begins with all that the client wishes.
 */

import { wait } from "./backoff.js";
import { keep } from "./http_memory.js";
import { pause } from "./pause.js";

const FIRST_SECONDS = 5; // a proxy that holds a stream back for longer gathers it
const CHANGE_SECONDS = 0.05; // wishes that change together begin one stream
const EMPTY_SECONDS = 1; // after a stream or poll that brought nothing, and ended sooner
const LIVED_SECONDS = 1; // a stream that is cut after it had brought frames for so long is no failure
const FEW = 100; // rooms and topics; with more of them, changes are gathered for longer
const FITTING = 3 / 4; // of a body that was too large
const TOO_LARGE = 413;
const LATE_SECONDS = 2; // until what was refused for a while is entered; twice as long after each such stream in a row
const MOST_LATE_SECONDS = 60; // as long as a stream

export class HttpStream {
  isEmpty = true; // whether the stream or poll has brought nothing new yet
  #isLate = false; // whether a part of what it enters was refused for a while
  #late = 0; // streams in a row to which that happened
  #lateUntil = 0; // when that part is entered, by one stream
  #isChanging = false; // whether the next stream is to begin soon, or then
  #line;
  #endpoint;
  #clock;
  #memory;
  #most = Infinity; // characters of a body: a server or proxy has refused more
  #isOver = false;
  /** @type {AbortController | null} */
  #current = null; // ends the stream or poll
  #stop = () => {};

  /**
   * `line`: commands(most) returns those that begin a stream, and receive(lines, isStream) takes frames.
   * `memory`: `isGathered` is kept there: whether a proxy lets no stream through.
   */
  constructor(line, endpoint, clock, memory) {
    this.#line = line;
    this.#endpoint = endpoint;
    this.#clock = clock;
    this.#memory = memory;
  }

  /** Begin one after another, until `end`. */
  async run() {
    while (!this.#isOver) {
      this.#stop();
      this.#isChanging = false;
      const current = (this.#current = new AbortController());
      const seconds = await this.#serve(current.signal);
      if (seconds) await pause(this.#clock, seconds, current.signal);
    }
  }

  /**
   * The wish has changed: the next stream begins with it. `count`: how many rooms and topics there are. `isLate`: this
   * one has refused them for a while.
   */
  change(count, isLate = false) {
    if (isLate && this.#isChanging) return;
    this.#stop();
    this.#isChanging = true;
    const soon = CHANGE_SECONDS * Math.max(1, count / FEW);
    const seconds = isLate ? Math.max(soon, this.#lateUntil - this.#clock.now()) : soon;
    this.#stop = this.#clock.after(seconds, () => this.#current?.abort());
  }

  /**
   * A part of what it enters was refused for a while, or for `least` seconds. Returns the seconds after which the next
   * stream enters it. Each stream pays for all of its rooms, so the pause grows, and ends for all of them together.
   */
  refused(least = 0) {
    const now = this.#clock.now();
    const pause = Math.min(MOST_LATE_SECONDS, LATE_SECONDS * 2 ** this.#late);
    const from = this.#isLate && this.#lateUntil > now ? this.#lateUntil : now + pause;
    this.#lateUntil = Math.max(from, now + least);
    this.#isLate = true;
    return this.#lateUntil - now;
  }

  end() {
    this.#isOver = true;
    this.#stop();
    this.#current?.abort();
  }

  // Returns the seconds until the next stream or poll.
  async #serve(signal) {
    const began = this.#clock.now();
    const { user } = this.#endpoint;
    this.isEmpty = true;
    this.#late = this.#isLate ? this.#late + 1 : 0;
    this.#isLate = false;
    const commands = this.#line.commands(this.#most);
    try {
      await (this.#memory.isGathered ? this.#poll(commands, signal) : this.#read(commands, signal));
    } catch (/** @type {any} */ error) {
      if (error.status === TOO_LARGE && commands.length > 1) return this.#fit(commands);
      if (error.pause === undefined && !signal.aborted) throw error;
      return error.pause;
    }
    const isEmpty = this.isEmpty && user === this.#endpoint.user; // a `welcome` that is the first is something new
    return isEmpty && this.#clock.now() - began < EMPTY_SECONDS ? EMPTY_SECONDS : 0;
  }

  #fit(commands) {
    this.#most = commands.join("\n").length * FITTING;
    return 0;
  }

  async #read(commands, signal) {
    const request = new AbortController();
    signal.addEventListener("abort", () => request.abort());
    const stopFirst = this.#clock.after(FIRST_SECONDS, () => this.#gather(request));
    let beganAt = NaN; // when the first frame came
    try {
      for await (const lines of this.#endpoint.stream(commands, request.signal)) {
        stopFirst();
        if (signal.aborted) return;
        beganAt ||= this.#clock.now();
        this.#line.receive(lines, true);
      }
    } catch (/** @type {any} */ error) {
      if (request.signal.aborted) error.pause = 0;
      else if (this.#clock.now() - beganAt >= LIVED_SECONDS) error.pause = wait(0);
      throw error;
    } finally {
      stopFirst();
    }
  }

  #gather(request) {
    this.#memory.isGathered = true;
    keep(this.#memory);
    request.abort();
  }

  // Without a `welcome`, or for a new room, the client cannot wait.
  async #poll(commands, signal) {
    const lines = await this.#endpoint.ask(this.#endpoint.user ? "?wait=25" : "", commands, signal);
    if (!signal.aborted) this.#line.receive(lines, true);
  }
}
