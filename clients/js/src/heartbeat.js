/** Heartbeat: the server pings silent clients (timers of hidden pages are slow), and this pings a silent server. */

const PONG_SECONDS = 6;
const WAKE_SECONDS = 3;
const MOST_SILENT_SECONDS = 22;
const LATE_SECONDS = 2;
const TICK_SECONDS = 5;
const LEAST_SECONDS = 0.01; // between two beats: rounding may leave less than the clock can count

export class Heartbeat {
  #clock;
  #line;
  #heardAt = 0;
  #isAnswered = true; // whether something was heard since the last ping
  #silence = MOST_SILENT_SECONDS; // seconds without a frame after which the server is pinged
  #beatDue = 0;
  #stopBeat = () => {};
  #stopDeadline = () => {};

  /** `line`: ping(), unanswered() and tick(), which is called with each beat. */
  constructor(clock, line) {
    this.#clock = clock;
    this.#line = line;
  }

  /** Begin. `own` and `server` are the seconds of silence that the page and the server want. */
  start(own, server) {
    this.#silence = Math.min(own || MOST_SILENT_SECONDS, (server > 0 ? server : MOST_SILENT_SECONDS) + LATE_SECONDS);
    this.#beatDue = Infinity;
    this.#beat();
  }

  stop() {
    this.#stopBeat();
    this.#stopDeadline();
  }

  /** A frame has come. */
  heard() {
    this.#heardAt = this.#clock.now();
    this.#isAnswered = true;
  }

  /** Ping the server now, because the connection may be lost. */
  doubt() {
    this.#ping(WAKE_SECONDS);
  }

  /** Ping the server now, because the page wants to use the connection. */
  test() {
    this.#ping();
  }

  #beat() {
    const now = this.#clock.now();
    const silent = now - this.#heardAt;
    if (this.#clock.hasJumped() || now - this.#beatDue >= TICK_SECONDS) this.doubt();
    else if (silent >= this.#silence) this.test();
    this.#line.tick();
    const left = this.#silence - (silent % this.#silence);
    const seconds = Math.min(TICK_SECONDS, Math.max(left, LEAST_SECONDS));
    this.#beatDue = now + seconds;
    this.#stopBeat();
    this.#stopBeat = this.#clock.after(seconds, () => this.#beat());
  }

  #ping(seconds = PONG_SECONDS, isLast = false) {
    if (!this.#isAnswered && !isLast) return;
    this.#isAnswered = false;
    const due = this.#clock.now() + seconds;
    this.#stopDeadline();
    this.#stopDeadline = this.#clock.after(seconds, () => this.#isAnswered || this.#unanswered(due, isLast));
    this.#line.ping();
  }

  // A timer that is late fires before the page reads what the server sent while the page was suspended.
  #unanswered(due, isLast) {
    if (this.#clock.now() - due < TICK_SECONDS || isLast) this.#line.unanswered();
    else this.#ping(WAKE_SECONDS, true);
  }
}
