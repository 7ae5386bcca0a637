/** Enters rooms and topics by batches: the first wish of many, and all of them after a reconnect. */

const BATCH = 100;
const BATCH_BYTES = 32_000;
const SECONDS = 30; // for each batch that is not answered yet
const TOGETHER = 0.1; // pauses that end in so many seconds end together

const COMMANDS = { room: ["join", "joins", "rooms"], topic: ["subscribe", "subscribes", "topics"] };

export class Entrance {
  #connection;
  #clock;
  #paused = new Map(); // subscription → when the server may be asked again
  #stop = () => {};
  #due = new Set(); // subscriptions whose wish has changed in this task
  #queue = new Set();
  #most = BATCH;
  #unanswered = 0;
  #isSorted = true;

  /** @param {import("./addon.js").AddOnHost} host */
  constructor({ connection, clock }) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /** Compare a subscription with what the server was told, after this task. */
  add(subscription) {
    if (!this.#due.size) queueMicrotask(() => this.#settle());
    this.#due.add(subscription);
  }

  /** Enter a subscription, as soon as there is room in a batch. */
  enqueue(subscription) {
    this.#queue.add(subscription);
    this.#isSorted &&= !subscription.priority;
    this.#soon();
  }

  /** Settle a subscription later, at a moment of the clock. */
  pause(subscription, moment) {
    this.#paused.set(subscription, moment);
    this.#schedule();
  }

  /** The line is lost: the client calls it as that of an add-on. */
  dropped() {
    this.#stop();
    this.#paused.clear();
    this.#queue.clear();
    this.#unanswered = 0;
    this.#most = BATCH;
  }

  #schedule() {
    this.#stop();
    if (!this.#paused.size) return;
    const seconds = Math.min(...this.#paused.values()) - this.#clock.now();
    this.#stop = this.#clock.after(seconds, () => this.#wake());
  }

  #wake() {
    const now = this.#clock.now() + TOGETHER;
    for (const [subscription, moment] of this.#paused) {
      if (moment > now) continue;
      this.#paused.delete(subscription);
      this.add(subscription);
    }
    this.#schedule();
  }

  #soon() {
    if (!this.#due.size) queueMicrotask(() => this.#flush());
  }

  #settle() {
    const due = [...this.#due];
    if (this.#connection.isOpen) for (const subscription of due) subscription.settle();
    this.#due.clear();
    this.#flush();
  }

  #flush() {
    if (!this.#isSorted) this.#queue = new Set([...this.#queue].sort((a, b) => (b.priority || 0) - (a.priority || 0)));
    this.#isSorted = true;
    while (this.#connection.isOpen && this.#queue.size && this.#unanswered < this.#connection.batches) this.#send();
  }

  #send() {
    const batch = [];
    const items = [];
    const [{ kind }] = this.#queue;
    let bytes = 0;
    for (const subscription of this.#queue) {
      if (batch.length === this.#most || bytes > BATCH_BYTES) break;
      if (subscription.kind !== kind) continue;
      this.#queue.delete(subscription);
      const opening = subscription.opening();
      if (!opening) continue;
      batch.push(subscription);
      items.push(opening);
      bytes += JSON.stringify(opening).length;
    }
    if (batch.length) this.#ask(kind, batch, items);
  }

  #ask(kind, batch, items) {
    const [one, many, list] = COMMANDS[kind];
    const count = items.length;
    this.#unanswered++;
    let isDone = false; // a batch that was refused as a whole fails once more when its time is over
    const next = (/** @type {any} */ ..._done) => {
      if (batch.length || isDone) return;
      isDone = true;
      this.#unanswered--;
      this.#flush();
    };
    this.#connection.ask(
      count === 1 ? { type: one, ...items[0] } : { type: many, [list]: items },
      (reply) => next(batch.shift()?.opened(reply)),
      (error, frame) => {
        if (error.code === "offline") return;
        if (batch.length > 1 && !(kind in frame)) this.#refused(batch.splice(0), error);
        else batch.shift()?.refused(error);
        next();
      },
      { seconds: SECONDS * this.#unanswered, count },
    );
  }

  // All of a batch: it was too much at once, or one of its names is wrong, or an older server does not know batches.
  #refused(batch, error) {
    this.#most = error.isRetryable ? Math.max(1, batch.length >> 1) : 1;
    for (const subscription of batch) {
      if (error.isRetryable) subscription.refused(error);
      else this.enqueue(subscription);
    }
  }
}
