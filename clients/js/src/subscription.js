/**
 * The subscription to the log of a room or a topic: whether the page holds it, what the server was told, and the
 * position up to which all events have been received.
 */

import { handled } from "./deferred.js";
import { failure } from "./errors.js";
import { Gap } from "./gap.js";
import { Holders } from "./holders.js";
import { positionOf } from "./position.js";

const AGAIN_SECONDS = 1;
const LEAVE = { room: "leave", topic: "unsubscribe" };

export class Subscription {
  /** @type {string | null} */
  epoch = null; // null until it is known; empty for a log without entries
  position; // the seq up to which all events were received
  hasData = false; // whether there is something to show
  /** @type {import("./errors.js").RealtimeError | null} */
  error = null; // why the last wish was refused
  turn = 0; // of the phase: a late reply to an earlier one is dropped

  #owner;
  #handles;
  #host;
  #holders;
  #gap;
  // What the server was told: `out`; `asked`, and its reply is missing; `entered`, and the entries of the reply are
  // being shown; or `in`.
  #phase = "out";
  #since; // the position that the last command has sent
  #notBefore = 0; // the server has asked for a pause
  #told = "idle";

  /**
   * `owner` is the room or topic: kind, target (its name in a command), priority, opening(since),
   * entered(reply, since), show(entry), ended(error), refused(error), retries(error), emit(type, detail).
   * `handles`: those of its kind.
   */
  constructor(owner, handles) {
    this.#owner = owner;
    this.#handles = handles;
    this.#host = handles.host;
    this.#holders = new Holders(this.#host.clock, () => this.#endAll(failure("left")));
    this.#gap = new Gap(this, this.#host);
  }

  /** Whether the page wants to follow the log. */
  get isHeld() {
    return !this.#holders.isEmpty;
  }

  /** Whether the server follows it for this client. */
  get isIn() {
    return this.#phase === "entered" || this.#phase === "in";
  }

  /** Whether the page is told what arrives. */
  get isFollowed() {
    return this.isIn && this.isHeld;
  }

  get kind() {
    return this.#owner.kind;
  }

  get target() {
    return this.#owner.target;
  }

  get priority() {
    return this.#owner.priority;
  }

  /**
   * `idle`, `joining`, `live`, `stale` (there is data, which is not current) or `refused`.
   * @returns {import("./types.js").HandleState}
   */
  get state() {
    if (this.error) return "refused";
    if (!this.isHeld) return "idle";
    if (this.#phase === "in" && !this.#gap.isOpen) return "live";
    return this.hasData ? "stale" : "joining";
  }

  /** When the server is asked again, in milliseconds of `Date.now()`. */
  get retryAt() {
    const { clock } = this.#host;
    return this.#notBefore > clock.now() && this.isHeld ? clock.wallAt(this.#notBefore) : null;
  }

  // Holders

  /** Settles as `hold` does, with the owner. After an end, the next `hold` makes another one. */
  get ready() {
    return this.#holders.ready;
  }

  /** Hold the log until the signal aborts, or without one until `leave`. Settles once it is entered. */
  hold({ signal, linger = 0 }) {
    const { connection } = this.#host;
    const code = connection.isAborted ? "closed" : signal?.aborted ? "aborted" : null;
    if (code) return handled(Promise.reject(failure(code, "not_sent")));
    const promise = this.#holders.add(signal, linger);
    this.error = null;
    if (connection.state === "idle") connection.connect();
    this.#wished();
    return promise;
  }

  /** End the holder without a signal, or all of them. */
  leave({ force = false } = {}) {
    if (force && this.isHeld) this.#endAll(failure("left"));
    else if (!force) this.#holders.release();
  }

  /** The server has removed the user. */
  remove(error) {
    this.#become("out");
    this.refused(error);
  }

  #endAll(error) {
    this.#holders.clear(error);
    this.#owner.ended(error);
    this.#wished();
  }

  // The wish is compared with what the server was told once the task has ended: join and leave in one task send nothing.
  #wished() {
    this.#handles.entrance.add(this);
    this.#tell();
  }

  // Enter and leave

  /** Tell the server what has changed since it was told last; the line must be open. */
  settle() {
    const { connection, clock } = this.#host;
    if (!this.isHeld && this.isIn) {
      this.#become("out");
      connection.ask({ type: LEAVE[this.kind], ...this.target });
    }
    if (!this.isHeld || this.#phase !== "out") return;
    if (this.#notBefore > clock.now()) this.#handles.entrance.pause(this, this.#notBefore);
    else this.#enter();
  }

  #enter() {
    this.#become("asked");
    this.#handles.entrance.enqueue(this);
  }

  /** Return the fields of the command that enters, or null if it is not wanted any more. */
  opening() {
    if (this.#phase !== "asked") return null;
    if (!this.isHeld) return this.#become("out");
    const since = this.epoch === null ? undefined : { seq: this.position, epoch: this.epoch };
    const opening = { ...this.target, ...this.#owner.opening(since) };
    this.#since = opening.since;
    return opening;
  }

  /** Take the reply to the command that enters. */
  opened(reply) {
    if (this.#phase !== "asked") return;
    this.#become("entered");
    if (this.isHeld) this.#owner.entered(reply, this.#since);
    else this.#handles.entrance.add(this); // it was left meanwhile
  }

  /** Enter again: the server does not follow the log any more. */
  reenter() {
    if (this.#phase === "asked") return;
    this.#become("out");
    this.#wished();
  }

  /** Enter without a position, because the log was purged or restored. */
  resync() {
    this.epoch = null;
    this.reenter();
  }

  /** Ask for the next page of a snapshot: the server follows the topic from the last page on. */
  more() {
    if (this.#phase === "entered") this.#enter();
  }

  /** Record that the line is lost. */
  detach() {
    this.#become("out");
    this.#tell();
  }

  /** Let go of everything that outlives the client: timers, and listeners on signals of the page. */
  close(error) {
    this.#gap.close();
    if (this.#holders.isLingering) this.#endAll(error);
    else this.#holders.stop(error);
  }

  /** Listen to the signals again: the client is connected once more. */
  reopen() {
    this.#holders.restart();
  }

  forget() {
    this.epoch = null;
    this.position = undefined;
    this.hasData = false;
    this.#notBefore = 0;
  }

  /** Settle `hold`, and repair the gap up to `through` if there is one. Returns false if a handler has left. */
  confirm(through, isResumed) {
    if (this.#phase !== "entered" || !this.isHeld) return false;
    this.#notBefore = 0;
    this.hasData = true;
    this.#become("in");
    if (this.position < through) this.#gap.fill(through);
    this.#holders.entered(this.#owner);
    this.#tell(isResumed);
    return true;
  }

  /** Take an error instead of the reply to the command that enters. */
  refused(error) {
    if (error.code === "offline") return;
    this.#become("out");
    if (!this.isHeld) return;
    if (this.#owner.retries(error)) return this.#enter();
    if (error.isRetryable) return this.#pause(error);
    this.error = error.code === "unknown_type" ? failure("unsupported", "refused", { cause: error }) : error;
    this.#endAll(this.error);
    this.#owner.refused(this.error);
  }

  #pause({ retryAfter = AGAIN_SECONDS }) {
    this.#notBefore = this.#host.clock.now() + retryAfter;
    this.settle();
    this.#handles.touch(this.#owner);
  }

  // Events

  /**
   * Take an event of the log, which makes this state of an entry. `from` is the first seq that it stands for.
   * `epoch` comes with the first event of a log.
   */
  receive({ seq, from = seq, epoch }, entry) {
    if (!this.isFollowed) return;
    this.epoch ||= epoch || this.epoch;
    if (seq <= this.position) return;
    if (this.#gap.isOpen || from > this.position + 1) {
      this.#gap.fill(seq);
      return this.#tell();
    }
    this.position = seq;
    this.#owner.show(entry);
  }

  /** Show missed entries in order; a handler may leave in between. Returns whether all were shown. */
  showAll(entries, through) {
    const { turn } = this;
    for (const entry of entries) {
      this.#reach(positionOf(entry));
      this.#owner.show(entry);
      if (turn !== this.turn || !this.isHeld) return false;
    }
    this.#reach(through);
    return true;
  }

  #reach(position) {
    this.position = Math.max(this.position, position);
  }

  /** No entry is missing any more. */
  caughtUp() {
    this.#tell(true);
  }

  // Returns null, for those that have nothing to return.
  #become(phase) {
    this.#gap.close();
    this.#phase = phase;
    this.turn++;
    return null;
  }

  #tell(isResumed = false) {
    const { state, error } = this;
    if (state === this.#told) return;
    this.#told = state;
    this.#handles.touch(this.#owner);
    this.#owner.emit("state", { state, error, isResumed });
  }
}
