/** Messages on their way out: bounded, kept until their ack, in order within a room. */

const ACK_SECONDS = 15;
const DAY = 86_400; // seconds

export class Outbox {
  #items = new Map(); // nonce → message without an ack, in order

  /** `line`: rooms, ask(command, onReply, onError), enter(room), later(room, seconds, act), told(detail), error(fields). */
  constructor(limit, clock, line) {
    Object.assign(this, { limit, clock, line });
  }

  /** Settles with the ack. */
  add(isClosed, message) {
    return new Promise((resolve, reject) => {
      const code = this.#refusal(isClosed, message.room);
      if (code) return reject(this.line.error({ code }));
      this.#items.set(message.nonce, { message, at: this.clock.stamp(), sentAt: 0, resolve, reject });
      this.flush();
    });
  }

  // One message of a room at a time: what follows one that is refused for now must not overtake it.
  flush() {
    const busy = new Set();
    for (const item of this.#items.values()) {
      const room = this.line.rooms.get(item.message.room);
      if (!item.sentAt && room?.joined && !room.held && !busy.has(room)) this.#post(item, room);
      if (this.#items.has(item.message.nonce)) busy.add(room);
    }
  }

  /** Send again what was not answered. */
  repeat() {
    const limit = this.clock.now() - ACK_SECONDS;
    for (const item of this.#items.values()) if (item.sentAt < limit) item.sentAt = 0;
    this.flush();
  }

  failAll(error, slug) {
    for (const item of this.#items.values()) if (!slug || item.message.room === slug) this.#fail(item, error);
  }

  #refusal(isClosed, slug) {
    if (isClosed) return "closed";
    if (!this.line.rooms.get(slug)?.wanted) return "not_joined";
    return this.#items.size >= this.limit ? "queue_full" : null;
  }

  #post(item, room) {
    const { message } = item;
    if (this.clock.age(item.at) > DAY) return this.#fail(item, this.line.error({ code: "expired" }));
    item.sentAt = this.clock.now();
    const acknowledged = (ack) => {
      this.#items.delete(message.nonce);
      item.resolve(ack);
      this.flush();
    };
    this.line.ask({ type: "message", ...message }, acknowledged, (error) => this.#refused(item, room, error));
  }

  #refused(item, room, error) {
    item.sentAt = 0;
    if (error.code === "offline") return;
    if (error.code === "not_joined" && room.wanted) {
      room.joined = false;
      return this.line.enter(room);
    }
    if (!error.retryable) return this.#fail(item, error);
    room.held = true;
    const { code, message, retryAfter = 1 } = error;
    this.line.told({ room: room.slug, nonce: item.message.nonce, code, message, retryIn: retryAfter });
    this.line.later(room, retryAfter, () => {
      room.held = false;
      this.flush();
    });
  }

  #fail(item, error) {
    this.#items.delete(item.message.nonce);
    item.reject(error);
  }
}
