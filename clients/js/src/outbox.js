/** Messages without an ack: bounded, kept over reconnects, and sent in order within a room. */

const ACK_SECONDS = 15;
const DAY = 86_400; // seconds
const RESEND_SECONDS = 60;

/** Return a random nonce; `crypto.randomUUID` is missing if the page is not a secure context. */
export function makeNonce() {
  return crypto.randomUUID?.() ?? crypto.getRandomValues(new Uint32Array(4)).join("-");
}

export class Outbox {
  // nonce → { message, state, at, sentAt, resolve, reject }, in order. `state` is one of
  // `queued`, `sent` (no reply yet) and `held` (refused for now: it is queued again later).
  #items = new Map();
  #acknowledged = new Map(); // the same of the last minute: a failover of the database may lose them

  /** `session`: rooms, ask(command, onReply, onError), after(seconds, act), emit(type, detail), error(fields). */
  constructor(limit, clock, session) {
    Object.assign(this, { limit, clock, session });
  }

  /** Queue a message. Settles with its ack. */
  add(isClosed, message) {
    return new Promise((resolve, reject) => {
      const code = this.#refusal(isClosed, message.room);
      if (code) return reject(this.session.error({ code }));
      this.#items.set(message.nonce, { message, state: "queued", at: this.clock.stamp(), resolve, reject });
      this.flush();
    });
  }

  /** Send the first message of each room: one at a time, so that none overtakes one that is held. */
  flush() {
    const busy = new Set();
    for (const item of this.#items.values()) {
      const { room: slug, nonce } = item.message;
      const room = this.session.rooms.get(slug);
      if (item.state === "queued" && room?.joined && !busy.has(slug)) this.#send(item, room);
      if (this.#items.has(nonce)) busy.add(slug);
    }
  }

  /** Send messages again that have no reply yet. */
  repeat() {
    const limit = this.clock.now() - ACK_SECONDS;
    for (const item of this.#items.values()) if (item.state === "sent" && item.sentAt < limit) item.state = "queued";
    this.flush();
  }

  /**
   * Send the held messages of a room that was joined again, without waiting any longer. If its log began
   * anew, first send again what was acknowledged lately: what the server still has, it stores only once.
   */
  resume(slug, isAnew) {
    if (isAnew) this.#sendAgain(slug);
    for (const item of this.#items.values()) if (item.message.room === slug) release(item);
    this.flush();
  }

  failAll(error, slug) {
    for (const item of this.#items.values()) if (!slug || item.message.room === slug) this.#fail(item, error);
    for (const [nonce] of this.#acknowledgedIn(slug)) this.#acknowledged.delete(nonce);
  }

  #acknowledgedIn(slug) {
    return [...this.#acknowledged].filter(([, { message }]) => !slug || message.room === slug);
  }

  #sendAgain(slug) {
    this.#dropOld();
    const again = this.#acknowledgedIn(slug);
    for (const [, item] of again) Object.assign(item, { state: "queued", at: this.clock.stamp() });
    this.#items = new Map([...again, ...this.#items]);
  }

  #dropOld() {
    const oldest = this.clock.now() - RESEND_SECONDS;
    for (const [nonce, { acknowledgedAt }] of this.#acknowledged)
      if (acknowledgedAt < oldest || this.#acknowledged.size > this.limit) this.#acknowledged.delete(nonce);
  }

  #refusal(isClosed, slug) {
    if (isClosed) return "closed";
    if (!this.session.rooms.get(slug)?.wanted) return "not_joined";
    return this.#items.size >= this.limit ? "queue_full" : null;
  }

  #send(item, room) {
    const { message } = item;
    if (this.clock.age(item.at) > DAY) return this.#fail(item, this.session.error({ code: "expired" }));
    Object.assign(item, { state: "sent", sentAt: this.clock.now() });
    const acknowledged = (ack) => {
      this.#items.delete(message.nonce);
      this.#acknowledged.delete(message.nonce);
      this.#acknowledged.set(message.nonce, Object.assign(item, { acknowledgedAt: this.clock.now() }));
      this.#dropOld();
      item.resolve(ack);
      this.flush();
    };
    this.session.ask({ type: "message", ...message }, acknowledged, (error) => this.#refused(item, room, error));
  }

  #refused(item, room, error) {
    item.state = "queued";
    if (error.code === "offline") return;
    if (error.code === "not_joined" && room.wanted) return room.subscription.reenter();
    if (!error.retryable) return this.#fail(item, error);
    item.state = "held";
    const { code, message, retryAfter = 1 } = error;
    this.session.emit("held", { room: room.slug, nonce: item.message.nonce, code, message, retryIn: retryAfter });
    this.session.after(retryAfter, () => {
      release(item);
      this.flush();
    });
  }

  #fail(item, error) {
    this.#items.delete(item.message.nonce);
    item.reject(error);
  }
}

function release(item) {
  if (item.state === "held") item.state = "queued";
}
