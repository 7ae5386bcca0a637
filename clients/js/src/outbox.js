/** Messages without an ack: bounded, kept over reconnects, and sent in order within a room. */

import { whenAborted } from "./abort.js";
import { deferred, handled } from "./deferred.js";
import { failure } from "./errors.js";

/** @import { Pending } from "./types.js" */

const ACK_SECONDS = 15;
const DAY = 86_400; // seconds
const BYTES = 1 << 20;
const RESEND_SECONDS = 60;
const RESEND_MOST = 200;
const MOST_JOINS = 5; // of a room that refuses a message of a member
/** @type {readonly Pending[]} */
const NONE = Object.freeze([]);

/** Return a random nonce; `crypto.randomUUID` is missing if the page is not a secure context. */
export function makeNonce() {
  return crypto.randomUUID?.() ?? crypto.getRandomValues(new Uint32Array(4)).join("-");
}

export class Outbox {
  // nonce → item, in order. Its `state` is `queued`, `sent` (no reply yet), `held` (refused for now: it is queued
  // again later) or `failed` (it waits for the page).
  #items = new Map();
  #acknowledged = new Map(); // the same of the last minute: a failover of the database may lose them
  /** @type {Map<string, readonly Pending[]>} */
  #shown = new Map(); // what `of` has returned, by room, until it changes
  #bytes = 0;
  #order = 0;
  #most;
  #rooms;
  #host;

  /** `most`: how many messages may wait. `rooms`: those of the client, and the storage. */
  constructor(most, rooms) {
    this.#most = most;
    this.#rooms = rooms;
    this.#host = rooms.host;
  }

  /**
   * Queue a message. Settles with its ack. With the nonce of a known one, it is sent again if it has failed.
   * @param {string} room
   * @param {string} content
   * @param {import("./types.js").Sending} [options]
   */
  add(room, content, { data, nonce = makeNonce(), signal } = {}) {
    const known = this.#items.get(nonce);
    if (known) return known.state === "failed" ? this.retry(nonce) : known.promise;
    const text = textOf({ room, content, data, nonce });
    const size = text.length;
    const isFull = this.#items.size >= this.#most || this.#bytes + size > BYTES;
    const code = !text ? "invalid_message" : isFull ? "queue_full" : signal?.aborted ? "aborted" : null;
    if (code) return handled(Promise.reject(this.#unkept(code)));
    const item = this.#put(JSON.parse(text), { size, at: this.#host.clock.stamp() });
    this.#watch(item, signal);
    this.#queue(item);
    return item.promise;
  }

  /** Take messages that an earlier page has kept; what was written before the storage was open follows them. */
  restore(rows) {
    const early = [...this.#items.values()];
    this.adopt(rows);
    for (const item of early) {
      this.#items.delete(item.message.nonce);
      this.#items.set(item.message.nonce, item);
      item.order = null;
      if (item.state !== "failed" && !item.isRepeated) this.#store(item);
    }
  }

  /** Take messages of another page that is gone. */
  adopt(rows) {
    for (const row of rows) {
      const known = this.#items.get(row.nonce);
      if (!known) this.#adopt(row);
      else if (row.isDiscarded) this.#drop(known);
    }
  }

  #adopt({ nonce, room, content, data, order, at, code, isDiscarded }) {
    if (isDiscarded) return;
    const message = { room, content, data, nonce };
    const failed = code ? { state: "failed", error: failure(code, "not_sent") } : {};
    this.#order = Math.max(this.#order, order);
    this.#put(message, { size: JSON.stringify(message).length, at: this.#host.clock.stampOf(at), isStored: true, ...failed });
  }

  /** What a page shows of the messages of a room: a frozen array. */
  of(slug) {
    const shown = ({ message: { nonce, content, data }, state, error = null, retryAt = null, isStored = false }) =>
      Object.freeze({ nonce, content, data, status: STATUS[state], error, retryAt, isStored });
    const items = this.#in(slug).filter(({ isRepeated }) => !isRepeated);
    if (!items.length) return NONE;
    const list = this.#shown.get(slug) ?? Object.freeze(items.map(shown));
    this.#shown.set(slug, list);
    return list;
  }

  has(slug) {
    return this.#in(slug).length > 0;
  }

  /** Send a failed message once more. */
  retry(nonce) {
    const item = this.#items.get(nonce);
    if (item?.state !== "failed") return item?.promise;
    Object.assign(item, { error: null, isStored: false, at: this.#host.clock.stamp() }, deferred());
    this.#queue(item);
    return item.promise;
  }

  /** Drop a message. Returns its content. */
  discard(nonce) {
    const item = this.#items.get(nonce);
    if (!item) return;
    this.#drop(item);
    this.#rooms.storage?.discarded(nonce);
    return item.message.content;
  }

  #drop(item) {
    this.#remove(item);
    item.reject(failure("aborted", outcome(item)));
  }

  /** A message is on the disk. */
  stored(nonce) {
    const item = this.#items.get(nonce);
    if (item) this.#change(item, { isStored: true });
  }

  /** Send the first message of each room: one at a time, so that none overtakes one that is held. */
  flush() {
    const items = [...this.#items.values()];
    const busy = new Set(items.filter(({ state }) => state === "sent" || state === "held").map(({ message }) => message.room));
    for (const item of items) {
      const slug = item.message.room;
      if (item.state !== "queued" || busy.has(slug) || !this.#rooms.get(slug).subscription.isIn) continue;
      this.#send(item);
      if (item.state === "sent") busy.add(slug);
    }
  }

  /** Send messages again that have no reply yet. */
  repeat() {
    const limit = this.#host.clock.now() - ACK_SECONDS;
    for (const item of this.#items.values()) if (item.state === "sent" && item.sentAt < limit) item.state = "queued";
    this.flush();
  }

  /**
   * Send the held messages of a room that was joined again, without waiting any longer. If its log began
   * anew, first send again what was acknowledged lately: what the server still has, it stores only once.
   */
  resume(slug, isAnew) {
    if (isAnew) this.#sendAgain(slug);
    for (const item of this.#in(slug)) this.#release(item);
    this.flush();
  }

  failAll(error, slug) {
    for (const item of this.#in(slug)) if (item.state !== "failed") this.#fail(item, error);
    for (const [nonce] of this.#acknowledgedIn(slug)) this.#acknowledged.delete(nonce);
  }

  /** Drop all messages, because another user follows. */
  forget(error) {
    this.failAll(error);
    for (const item of this.#items.values()) this.#remove(item);
  }

  /** Stop the timers of held messages. */
  close() {
    for (const item of this.#items.values()) this.#release(item);
  }

  #in(slug) {
    return [...this.#items.values()].filter(({ message }) => !slug || message.room === slug);
  }

  #put(message, more) {
    const item = { message, state: "queued", stop: () => {}, unwatch: () => {}, ...more, ...deferred() };
    this.#items.set(message.nonce, item);
    this.#bytes += item.size;
    this.#change(item);
    return item;
  }

  // A message that cannot be sent is shown as failed, so that a page need not look at the promise.
  #queue(item) {
    item.state = "queued";
    const { room } = item.message;
    const { connection } = this.#host;
    const isClosed = connection.state === "closed" || connection.isAborted;
    const code = isClosed ? "closed" : this.#rooms.get(room).isHeld ? null : "not_joined";
    if (code || this.#isTooLarge(item)) return this.#fail(item, failure(code ?? "too_large", "not_sent"));
    this.#store(item);
    this.#change(item);
    this.flush();
  }

  #store(item) {
    const { clock } = this.#host;
    if (item.isStored) return;
    item.order ??= ++this.#order;
    this.#rooms.storage?.added({ ...item.message, order: item.order, at: clock.serverNow() || clock.wallAt(clock.now()) });
  }

  #unkept(code) {
    const error = failure(code, "not_sent");
    if (code === "queue_full") this.#host.failed(error);
    return error;
  }

  #watch(item, signal) {
    item.unwatch = whenAborted(signal, () => {
      if (item.sentAt === undefined) return this.discard(item.message.nonce);
      item.reject(failure("aborted", "unknown"));
    });
  }

  #isTooLarge({ message }) {
    return [...message.content].length > this.#host.limits.content_characters;
  }

  #acknowledgedIn(slug) {
    return [...this.#acknowledged].filter(([, { message }]) => !slug || message.room === slug);
  }

  #sendAgain(slug) {
    this.#dropOld();
    const again = this.#acknowledgedIn(slug);
    for (const [, item] of again) Object.assign(item, { state: "queued", isRepeated: true, at: this.#host.clock.stamp() });
    this.#items = new Map([...again, ...this.#items]);
  }

  #dropOld() {
    const oldest = this.#host.clock.now() - RESEND_SECONDS;
    for (const [nonce, { acknowledgedAt }] of this.#acknowledged)
      if (acknowledgedAt < oldest || this.#acknowledged.size > RESEND_MOST) this.#acknowledged.delete(nonce);
  }

  #send(item) {
    const { message } = item;
    const { clock, connection } = this.#host;
    const code = clock.age(item.at) > DAY ? "expired" : this.#isTooLarge(item) ? "too_large" : null;
    if (code) return this.#fail(item, failure(code, outcome(item)));
    this.#change(item, { state: "sent", sentAt: clock.now(), retryAt: null });
    connection.ask({ type: "message", ...message }, (ack) => this.#acknowledge(item, ack), (error) => this.#refused(item, error));
  }

  #acknowledge(item, ack) {
    const { nonce } = item.message;
    if (this.#items.get(nonce) === item) this.#remove(item);
    this.#acknowledged.delete(nonce);
    this.#acknowledged.set(nonce, Object.assign(item, { acknowledgedAt: this.#host.clock.now() }));
    this.#dropOld();
    this.#rooms.storage?.acknowledged(nonce);
    item.resolve(ack);
    this.flush();
  }

  #refused(item, error) {
    const { nonce, room: slug } = item.message;
    if (item.state !== "sent" || this.#items.get(nonce) !== item) return; // it has failed meanwhile
    const room = this.#rooms.get(slug);
    item.state = "queued";
    if (error.code === "offline") return this.#change(item);
    item.joins = error.code === "not_joined" ? (item.joins ?? 0) + 1 : 0;
    if (item.joins && item.joins <= MOST_JOINS && room.isHeld) return room.subscription.reenter();
    if (!error.isRetryable) {
      this.#fail(item, error);
      return this.flush(); // the next message of the room
    }
    const { retryAfter = 1 } = error;
    const { clock } = this.#host;
    const stop = clock.after(retryAfter, () => {
      this.#release(item);
      this.flush();
    });
    this.#change(item, { state: "held", error, retryAt: clock.wallAt(clock.now() + retryAfter), stop });
  }

  #release(item) {
    item.stop();
    if (item.state === "held") this.#change(item, { state: "queued", error: null, retryAt: null });
  }

  #fail(item, error) {
    item.stop();
    if (item.isRepeated) this.#remove(item);
    else this.#change(item, { state: "failed", error, retryAt: null });
    item.reject(error);
    this.#rooms.storage?.failed(item.message.nonce, error.code);
  }

  #remove(item) {
    this.#items.delete(item.message.nonce);
    item.stop();
    item.unwatch();
    if (!item.isRepeated) this.#bytes -= item.size;
    this.#change(item);
  }

  #change(item, fields) {
    Object.assign(item, fields);
    this.#shown.delete(item.message.room);
    this.#rooms.touch(this.#rooms.get(item.message.room));
  }
}

// The text of a message as it is at the call, because the page may change its data later; empty if it is none.
function textOf(message) {
  try {
    return typeof message.content === "string" ? JSON.stringify(message) : "";
  } catch {
    return "";
  }
}

const STATUS = { queued: "waiting", held: "waiting", sent: "sent", failed: "failed" };

const outcome = ({ sentAt }) => (sentAt === undefined ? "not_sent" : "unknown");
