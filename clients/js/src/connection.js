/**
 * Keeps one line to the server: connects, and reconnects after growing waits. What the frames mean for users and rooms is the concern of `frames.js`.
 */

import { wait } from "./backoff.js";
import { failure, RealtimeError } from "./errors.js";
import { Heartbeat } from "./heartbeat.js";
import { watchPage } from "./page.js";
import { Replies } from "./replies.js";

const SUBPROTOCOL = "realtime.v1.ndjson";
const CONNECT_SECONDS = 10;
const STABLE_SECONDS = 5;
const RENEW_SECONDS = 5;
const BATCHES = 2;

/** The states that may follow each state. */
const MOVES = {
  idle: ["connecting", "closed"],
  connecting: ["open", "waiting", "suspended", "closed", "idle"],
  open: ["waiting", "suspended", "closed", "idle"],
  waiting: ["connecting", "suspended", "closed", "idle"],
  suspended: ["connecting", "closed", "idle"],
  closed: ["connecting"],
};

/** @typedef {{ code: any, reason: string, reconnect?: boolean, retry_after?: any, isAtOnce?: boolean, isServed?: boolean }} End */

export class Connection {
  state = "idle";

  #options;
  #clock;
  #owner;
  /** @type {import("./transport.js").Line | null} */
  #line = null;
  /** @type {AbortController | null} */
  #attempt = null; // ends with its line: what an earlier one gives late is dropped
  #failures = 0; // in a row
  #retryAt = 0;
  #notBefore = 0;
  #timers = new Map(); // by name: functions that stop them; all of them end with the line
  #heartbeat;
  #replies;
  /** @type {AbortController | null} */
  #listening = null; // ends the listeners on the browser and on the page's signal

  /**
   * `options`: transport, url(signal), token({ reason, signal }), heartbeat, signal, clock.
   * `owner`: receive(frame, onReply), moved(status), dropped(), tick(), suspended(), failed(error).
   */
  constructor(options, owner) {
    this.#options = options;
    this.#clock = options.clock;
    this.#owner = owner;
    this.#replies = new Replies(this.#clock);
    this.#heartbeat = new Heartbeat(this.#clock, {
      ping: () => this.send({ type: "ping" }),
      unanswered: () => this.#lose({ code: 1006, reason: "timeout" }),
      tick: () => owner.tick(),
    });
    if (this.isAborted) this.state = "closed";
    else this.#watchSignal();
  }

  get isAborted() {
    return Boolean(this.#options.signal?.aborted);
  }

  get isOpen() {
    return this.state === "open";
  }

  /** When the next attempt is due, in milliseconds of `Date.now()`. */
  get retryAt() {
    return this.#clock.wallAt(this.#retryAt);
  }

  /** Bytes that wait to be sent. */
  get backlog() {
    return this.#line?.bufferedAmount ?? 0;
  }

  /** How many batches that enter rooms or topics may wait for replies. */
  get batches() {
    return this.#line?.batches ?? BATCHES;
  }

  /** Connect now, and stay connected until `close()`. */
  connect() {
    if (this.isAborted || this.isOpen || this.state === "connecting") return;
    if (!this.#listening) this.#watchSignal();
    if (this.state === "idle" || this.state === "closed") this.#watchPage();
    if (this.state === "waiting") this.#wake();
    else this.#start();
  }

  /**
   * Close the line and do not reconnect; `connect()` starts again.
   * @param {number | string} [code]
   * @param {string} [reason]
   * @param {number | null} [retryIn]
   */
  close(code = 1000, reason = "closed", retryIn = null) {
    if (this.state === "closed") return;
    this.#stopListening();
    if (this.#drop()) this.#become("closed", { code, reason, retryIn });
  }

  /** Drop the line and become idle without an event. */
  reset() {
    this.#drop();
    this.#stopListening();
    if (this.state !== "idle" && this.state !== "closed") this.#move("idle");
  }

  /** End the line, and connect again after the pause of an error. */
  retry({ code, message, retryAfter }) {
    this.#lose({ code, reason: message, retry_after: retryAfter });
  }

  /** Ping the server when it is silent; the attempt has succeeded, as it sent its `welcome`. */
  startHeartbeat(serverSeconds) {
    this.#stop("deadline");
    this.#heartbeat.start(this.#options.heartbeat, serverSeconds);
  }

  /** Become open, unless a handler has ended this line in the meantime. */
  opened() {
    if (this.state !== "connecting" || !this.#line) return;
    this.#alarm("stable", STABLE_SECONDS, () => (this.#failures = 0));
    this.#become("open");
  }

  /** Tell the current state once more, because its transport is another one. */
  tell(detail) {
    const { state } = this;
    this.#owner.moved({ state, code: null, reason: "", retryIn: null, transport: this.#line?.name ?? null, ...detail });
  }

  send(command) {
    this.#line?.send(JSON.stringify(command));
  }

  /**
   * Send a command with a `ref`. Callbacks run in the task of the reply: the next line of its frame depends on them.
   * @param {object} command
   * @param {Parameters<Replies["expect"]>} expected
   */
  ask(command, ...expected) {
    this.send({ ...command, ref: this.#replies.expect(...expected) });
  }

  // Open and reconnect

  #start() {
    const attempt = (this.#attempt = new AbortController());
    const { signal } = attempt;
    this.#stop("retry");
    this.#alarm("deadline", CONNECT_SECONDS, () => this.#lose({ code: 1006, reason: "timeout" }));
    this.#become("connecting");
    if (signal.aborted) return; // by a handler
    const { transport, url, token } = this.#options;
    const target = { url: () => url(signal), token: () => token({ reason: "connect", signal }), subprotocols: [SUBPROTOCOL], signal };
    this.#line = transport.open(target, {
      onFrame: (text) => this.#read(text, signal),
      onEnd: (code, reason, isAtOnce, isServed) => signal.aborted || this.#lose({ code, reason, isAtOnce, isServed }),
    });
  }

  /** @param {End} end */
  // From the end of a line, or from a `disconnect` frame, which may forbid the next attempt.
  #lose({ code, reason, reconnect, retry_after, isAtOnce, isServed }) {
    if (reconnect === false || (code >= 4500 && code <= 4999)) return this.close(code, reason, retry_after);
    if (!this.#drop()) return;
    if (isServed) this.#failures = 0;
    const seconds = isAtOnce ? 0 : wait(this.#failures++, retry_after);
    this.#notBefore = retry_after > 0 ? this.#clock.now() + Number(retry_after) : 0;
    this.#retryAt = this.#clock.now() + seconds;
    const retryIn = globalThis.navigator?.onLine === false ? null : seconds;
    this.#become("waiting", { code, reason, retryIn });
    if (this.state !== "waiting") return; // by a handler
    if (isAtOnce) this.#start();
    else this.#alarm("retry", seconds, () => this.#start());
  }

  // Returns false if a handler has closed the client in the meantime, or has begun another attempt.
  #drop() {
    const [line, attempt, state] = [this.#line, this.#attempt, this.state];
    this.#line = null;
    attempt?.abort();
    for (const name of this.#timers.keys()) this.#stop(name);
    this.#heartbeat.stop();
    const fail = this.#replies.clear();
    this.#owner.dropped();
    fail();
    line?.close();
    return attempt === this.#attempt && state === this.state;
  }

  #move(state) {
    if (!MOVES[this.state].includes(state)) throw new Error(`A connection that is ${this.state} cannot become ${state}.`);
    this.state = state;
  }

  #become(state, detail) {
    this.#move(state);
    this.tell(detail);
  }

  #alarm(name, seconds, act) {
    this.#stop(name);
    this.#timers.set(name, this.#clock.after(seconds, act));
  }

  #stop(name) {
    this.#timers.get(name)?.();
  }

  // Frames

  #read(text, signal) {
    this.#heartbeat.heard();
    for (const line of text.split("\n")) {
      if (signal.aborted) return;
      if (!line) continue;
      try {
        this.#receive(JSON.parse(line));
      } catch (cause) {
        this.#owner.failed(failure("invalid_frame", undefined, { cause }));
        if (!signal.aborted) this.#lose({ code: 1002, reason: "invalid_frame" });
      }
    }
  }

  #receive(frame) {
    if (typeof frame.type !== "string") throw new TypeError("A frame is an object with a type.");
    if (frame.server_time) this.#clock.synchronize(frame.server_time);
    if (frame.type === "ping") return this.send({ type: "pong", t: frame.t });
    if (frame.type === "disconnect") return this.#lose(frame);
    if (frame.type === "error" && frame.code === "token_expired") this.#renew();
    const reply = this.#replies.take(frame);
    // Else its request has failed by now; a `ref` of the server's own questions is a text.
    if (!reply) return typeof frame.ref !== "number" && this.#owner.receive(frame);
    if (frame.type === "error") return reply.onError(new RealtimeError(frame), frame);
    if (frame.type === "resync") reply.onError(failure("resync"), frame);
    this.#owner.receive(frame, reply.onReply);
  }

  // A token that comes after its line has ended is not for the next one.
  async #renew() {
    const { signal } = /** @type {AbortController} */ (this.#attempt);
    try {
      const token = await this.#options.token({ reason: "expiring", signal });
      if (token && !signal.aborted) this.send({ type: "auth", token });
    } catch {
      if (!signal.aborted) this.#alarm("renew", RENEW_SECONDS, () => this.#renew());
    }
  }

  // The page

  #watchSignal() {
    const { signal } = (this.#listening = new AbortController());
    this.#options.signal?.addEventListener("abort", () => this.close(), { signal });
  }

  #watchPage() {
    watchPage(this.#listening?.signal, {
      wake: () => this.#wake(),
      doubt: () => this.isOpen && this.#heartbeat.doubt(),
      suspend: () => this.#suspend(),
      resume: () => this.state === "suspended" && this.#start(),
    });
  }

  #wake() {
    if (this.isOpen) this.#heartbeat.test();
    else if (this.state === "waiting" && this.#clock.now() >= this.#notBefore) this.#start();
  }

  // An open socket keeps a page from being restored as it was.
  #suspend() {
    if (!MOVES[this.state].includes("suspended") || !this.#drop()) return;
    this.#owner.suspended();
    this.#become("suspended");
  }

  #stopListening() {
    this.#listening?.abort();
    this.#listening = null;
  }
}
