/**
 * The subscription to the log of a room or a topic: its state over all connections, and the position up to which
 * all events have been received. A gap is repaired from the history before anything newer is delivered.
 */

const PAGE = 100;

export class Subscription {
  /**
   * `left`; `entering`: it is entered as soon as there is a connection; `joined`; or `repairing`:
   * joined, but missed entries are read before newer ones are delivered.
   */
  state = "left";
  epoch = null; // null until it is known; empty for a log without entries
  position; // the seq up to which all events were received
  #owner;
  #session;
  #target = 0; // the seq that a repair has to reach
  #opening = null; // the command that enters and has no reply yet
  #ready = deferred();

  /**
   * `owner`: handle (the room or topic), address ({ room } or { topic }), opening(since) and closing() (commands),
   * opened(reply, since), show(entry), refused(error), and perhaps retries(error). `session`: ask(command, onReply, onError), after(seconds, act).
   */
  constructor(owner, session) {
    this.#owner = owner;
    this.#session = session;
  }

  get wanted() {
    return this.state !== "left";
  }

  get joined() {
    return this.state === "joined" || this.state === "repairing";
  }

  // Enter and leave

  /** Mark the log as one to follow. Settles with the room or topic once it is entered. */
  want() {
    if (this.state === "left") this.state = "entering";
    return this.#ready.promise;
  }

  /** Send the command that enters, if that is still to be done; there must be a connection. */
  enter() {
    if (this.state === "entering" && !this.#opening) this.#open();
  }

  reenter() {
    this.detach();
    this.enter();
  }

  /** Enter without a position, because the log was purged or restored. */
  resync() {
    this.epoch = null;
    this.reenter();
  }

  leave(error) {
    if (this.joined) this.#session.ask(this.#owner.closing());
    this.detach();
    this.state = "left";
    this.fail(error);
  }

  /** Leave, because the server has removed the user. */
  remove(error) {
    this.detach();
    this.#refused(error);
  }

  /** Record that the connection does not follow this log any more. */
  detach() {
    if (this.wanted) this.state = "entering";
    this.#target = 0;
    this.#opening = null;
  }

  /** Reject the promise of `want`; the next `want` makes another one. */
  fail(error) {
    this.#ready.reject(error);
    this.#ready = deferred();
  }

  forget() {
    this.epoch = null;
    this.position = undefined;
  }

  #open() {
    const since = this.epoch === null ? undefined : { seq: this.position, epoch: this.epoch };
    const opening = (this.#opening = this.#owner.opening(since));
    this.#session.ask(
      opening,
      (reply) => this.#opened(reply, opening),
      (error) => this.#isLatest(opening) && this.#refused(error),
    );
  }

  #isLatest(opening) {
    if (this.#opening !== opening) return false;
    this.#opening = null;
    return true;
  }

  // A reply that comes after the log was left: the server follows it still.
  #opened(reply, opening) {
    if (this.#isLatest(opening)) this.#owner.opened(reply, opening.since);
    else if (!this.wanted) this.#session.ask(this.#owner.closing());
  }

  /** Settle `want`, and repair the gap up to `through` if there is one. Returns false if a listener has left. */
  confirm(through) {
    if (!this.joined) return false;
    this.#ready.resolve(this.#owner.handle);
    this.#target = Math.max(this.#target, through);
    if (this.position < through) this.#repair();
    return true;
  }

  #refused(error) {
    if (error.code === "offline" || !this.wanted) return;
    if (this.#owner.retries?.(error)) return this.#open();
    if (error.retryable) return this.#after(error.retryAfter, () => this.#open());
    this.fail(error);
    this.#owner.refused(error);
  }

  // Events and gaps

  /**
   * Take an event of the log, which makes this state of an entry. `from` is the first seq that it stands for.
   * `epoch` comes with the first event of a log.
   */
  receive({ seq, from = seq, epoch }, entry) {
    if (!this.joined) return;
    if (epoch && !this.epoch) this.epoch = epoch;
    if (seq <= this.position) return;
    this.#target = Math.max(this.#target, seq);
    if (this.state === "repairing") return; // the repair goes on until it has reached the target
    if (from > this.position + 1) return this.#repair();
    this.position = seq;
    this.#owner.show(entry);
  }

  #repair() {
    this.state = "repairing";
    this.#session.ask(
      { type: "history", ...this.#owner.address, after: this.position, limit: PAGE },
      (reply) => this.#repaired(reply),
      ({ code, retryable, retryAfter }) => {
        if (code !== "offline" && code !== "resync") this.#after(retryAfter, () => (retryable ? this.#repair() : this.#open()));
      },
    );
  }

  // A reply that comes after the log was left or entered anew is ignored: the next one asks from the position.
  #repaired(reply) {
    if (this.state !== "repairing") return;
    if (!this.epoch) this.epoch = reply.epoch;
    if (reply.epoch !== this.epoch) return this.resync();
    const start = this.position;
    for (const entry of reply.messages ?? reply.entries) this.#owner.show(entry);
    if (this.state !== "repairing") return;
    this.position = Math.max(start, reply.through);
    if (this.position >= this.#target) this.state = "joined";
    else if (this.position > start) this.#repair();
    else this.#after(1, () => this.#repair());
  }

  // Only while nothing else has changed the state.
  #after(seconds, act) {
    const { state } = this;
    this.#session.after(seconds, () => this.state === state && act());
  }
}

function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  parts.promise.catch(() => {}); // a page that did not wait gets an event
  return parts;
}
