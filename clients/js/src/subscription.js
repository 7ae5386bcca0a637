/**
 * The subscription to the log of a room or a topic: what the server was told, and the position up to which all events
 * have been received. A gap is repaired from the history before anything newer is delivered.
 */

import { deferred, handled } from "./deferred.js";
import { failure } from "./errors.js";
import { Holders } from "./holders.js";
import { positionOf } from "./position.js";

const PAGE = 100;
const RETRY_SECONDS = 1;
const REPLY_SECONDS = 30;

export class Subscription {
  /** @type {string | null} */
  epoch = null; // null until it is known; empty for a log without entries
  position; // the seq up to which all events were received
  hasData = false; // whether there is something to show
  /** @type {import("./errors.js").RealtimeError | null} */
  error = null; // why the last wish was refused

  #owner;
  #session;
  #holders;
  // What the server was told: `out`; `asked`, and its reply is missing; `entered`, and the entries of the reply are
  // being shown; `in`; or `repairing`: missed entries are read before newer ones are delivered.
  #phase = "out";
  #since; // the position that the last command has sent
  #target = 0; // the seq that a repair has to reach
  #turn = 0; // of the phase: a late reply to an earlier one is dropped
  #notBefore = 0; // the server has asked for a pause
  /** @type {(() => void) | null} */
  #stopTimer = null;
  #told = "idle";
  #ready = deferred();

  /**
   * `owner` is the room or topic: kind (`room` or `topic`), address, opening(since), entered(reply, since),
   * show(entry), ended(error), refused(error), retries(error), emit(type, detail).
   * `session`: clock, connection, entrance, touch(handle).
   */
  constructor(owner, session) {
    this.#owner = owner;
    this.#session = session;
    this.#holders = new Holders(session.clock, () => this.#endAll(failure("left")));
  }

  /** Whether the page wants to follow the log. */
  get isHeld() {
    return !this.#holders.isEmpty;
  }

  /** Whether the server follows it for this client. */
  get isIn() {
    return ["entered", "in", "repairing"].includes(this.#phase);
  }

  get isRepairing() {
    return this.#phase === "repairing";
  }

  /** Whether the page is told what arrives. */
  get isFollowed() {
    return this.isIn && this.isHeld;
  }

  /** Whether the command that enters may be sent now. */
  get isDue() {
    return this.isHeld && this.#phase === "asked";
  }

  get kind() {
    return this.#owner.kind;
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
    if (this.#phase === "in") return "live";
    return this.hasData ? "stale" : "joining";
  }

  /** When the server is asked again, in milliseconds of `Date.now()`. */
  get retryAt() {
    const { clock } = this.#session;
    return this.#notBefore > clock.now() && this.isHeld ? clock.wallAt(this.#notBefore) : null;
  }

  // Holders

  /** Hold the log until the signal aborts, or without one until `leave`. Settles once it is entered. */
  hold({ signal, linger = 0 }) {
    const { connection } = this.#session;
    if (connection.isAborted) return handled(Promise.reject(failure("closed", "not_sent")));
    if (signal?.aborted) return handled(Promise.reject(failure("aborted", "not_sent")));
    const entered = this.#ready.promise;
    const waiting = this.#holders.add(signal, linger);
    const promise = handled(new Promise((resolve, reject) => {
      waiting.add(reject);
      entered.then(resolve, reject).then(() => waiting.delete(reject));
    }));
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
    this.#holders.clear();
    this.fail(error);
    this.#owner.ended(error);
    this.#wished();
  }

  // The wish is compared with what the server was told once the task has ended: join and leave in one task send nothing.
  #wished() {
    this.#session.entrance.add(this);
    this.#tell();
  }

  // Enter and leave

  /** Tell the server what has changed since it was told last; the line must be open. */
  settle() {
    if (!this.isHeld) return this.isIn && this.#leaveServer();
    if (this.#phase !== "out") return;
    if (this.#notBefore > this.#session.clock.now()) this.#session.entrance.pause(this, this.#notBefore);
    else this.#enter();
  }

  #enter() {
    this.#become("asked");
    this.#session.entrance.enqueue(this);
  }

  #leaveServer() {
    const { kind, address } = this.#owner;
    this.#become("out");
    this.#session.connection.ask({ type: kind === "room" ? "leave" : "unsubscribe", [kind]: address });
  }

  /** Return the fields of the command that enters, or null if it is not wanted any more. */
  opening() {
    if (!this.isDue) {
      if (this.#phase === "asked") this.#become("out");
      return null;
    }
    this.#since = this.epoch === null ? undefined : { seq: this.position, epoch: this.epoch };
    const opening = this.#owner.opening(this.#since);
    this.#since = opening.since;
    return opening;
  }

  /** Take the reply to the command that enters. */
  opened(reply) {
    if (this.#phase !== "asked") return;
    this.#become("entered");
    if (this.isHeld) this.#owner.entered(reply, this.#since);
    else this.#session.entrance.add(this); // it was left meanwhile
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

  /** Reject the promises of `hold`; the next `hold` makes another one. */
  fail(error) {
    this.#ready.reject(error);
    this.#ready = deferred();
  }

  /** Let go of everything that outlives the client: timers, and listeners on signals of the page. */
  close(error) {
    this.#stop();
    this.fail(error);
    if (this.#holders.isLingering) this.#endAll(error);
    this.#holders.stop();
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
    if (this.position < through) this.#repair(through);
    else this.#become("in");
    this.#ready.resolve(this.#owner);
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

  #pause({ retryAfter = RETRY_SECONDS }) {
    this.#notBefore = this.#session.clock.now() + retryAfter;
    this.settle();
    this.#session.touch(this.#owner);
  }

  // Events and gaps

  /**
   * Take an event of the log, which makes this state of an entry. `from` is the first seq that it stands for.
   * `epoch` comes with the first event of a log.
   */
  receive({ seq, from = seq, epoch }, entry) {
    if (!this.isFollowed) return;
    if (epoch && !this.epoch) this.epoch = epoch;
    if (seq <= this.position) return;
    if (this.isRepairing) return (this.#target = Math.max(this.#target, seq)); // the repair goes on until it is reached
    if (from > this.position + 1) {
      this.#repair(seq);
      return this.#tell();
    }
    this.position = seq;
    this.#owner.show(entry);
  }

  /** Show missed entries in order; a handler may leave in between. Returns whether all were shown. */
  showAll(entries, through) {
    const turn = this.#turn;
    for (const entry of entries) {
      const position = positionOf(entry);
      if (position > this.position) this.position = position;
      this.#owner.show(entry);
      if (turn !== this.#turn || !this.isHeld) return false;
    }
    this.position = Math.max(this.position, through);
    return true;
  }

  #repair(target = this.#target) {
    const { kind, address } = this.#owner;
    this.#target = target;
    const turn = this.#become("repairing");
    const isLate = () => turn !== this.#turn || !this.isHeld;
    this.#session.connection.ask(
      { type: "history", [kind]: address, after: this.position, limit: PAGE },
      (reply) => isLate() || this.#repaired(reply),
      ({ code, isRetryable, retryAfter = RETRY_SECONDS }) => {
        if (isLate() || code === "offline" || code === "resync") return;
        if (isRetryable) this.#after(retryAfter, () => this.#repair());
        else this.reenter();
      },
      { seconds: REPLY_SECONDS },
    );
  }

  #repaired(reply) {
    if (!this.epoch) this.epoch = reply.epoch;
    if (reply.epoch !== this.epoch) return this.resync();
    const start = this.position;
    if (!this.showAll(reply.messages ?? reply.entries, reply.through)) return;
    if (this.position < this.#target) {
      if (this.position > start) return this.#repair();
      return this.#after(RETRY_SECONDS, () => this.#repair());
    }
    this.#become("in");
    this.#tell(true);
  }

  // Only while nothing else has changed the phase.
  #after(seconds, act) {
    const turn = this.#turn;
    this.#stop();
    this.#stopTimer = this.#session.clock.after(seconds, () => {
      this.#stopTimer = null;
      if (turn === this.#turn && this.#session.connection.isOpen) act();
    });
  }

  #stop() {
    this.#stopTimer?.();
    this.#stopTimer = null;
  }

  #become(phase) {
    this.#stop();
    this.#phase = phase;
    return ++this.#turn;
  }

  #tell(isResumed = false) {
    const { state, error } = this;
    if (state === this.#told) return;
    this.#told = state;
    this.#session.touch(this.#owner);
    this.#owner.emit("state", { state, error, isResumed });
  }
}
