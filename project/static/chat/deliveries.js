/** Messages of this page that the server has not stored yet, and why they wait. */

import { whyNotSent } from "./refusals.js";

export class Deliveries {
  #waiting = new Map(); // nonce → the message to send again
  /** @type {{ room: string, code: string, until: number, timer?: number } | null} */
  #held = null; // why the messages of a room wait, and until when

  /** `list` is the `MessageList` that shows them; `client()` returns the client of now. */
  constructor(list, client) {
    this.list = list;
    this.client = client;
  }

  get isEmpty() {
    return !this.#waiting.size;
  }

  /** Show why messages of a room wait. */
  follow(room) {
    room.on("change", () => this.#hold(room));
  }

  add(nonce, room, content) {
    this.#waiting.set(nonce, { room, content });
  }

  /** Send a message, for the first time or again. */
  async deliver(nonce) {
    const { room, content } = this.#waiting.get(nonce);
    this.list.retry(nonce);
    this.#tellHeld();
    try {
      this.list.settle(nonce, await this.client().room(room).send(content, { nonce }));
      this.#waiting.delete(nonce);
    } catch (error) {
      this.list.fail(nonce, whyNotSent(error), error.code === "too_large" ? "edit" : "retry");
    }
  }

  /** Drop a message, and return its content. */
  drop(nonce) {
    const item = this.#waiting.get(nonce);
    this.#waiting.delete(nonce);
    this.list.drop(nonce);
    if (item) this.client().room(item.room).discard(nonce);
    return item?.content;
  }

  forget() {
    this.#waiting.clear();
  }

  // The server refuses the first of them for now.
  #hold({ slug, pending }) {
    const held = pending.find(({ retryAt }) => retryAt);
    if (!held) return;
    clearTimeout(this.#held?.timer);
    this.#held = { room: slug, code: held.error.code, until: performance.now() + held.retryAt - Date.now() };
    this.#tellHeld();
  }

  #tellHeld() {
    const held = this.#held;
    if (!held) return;
    const [first, ...others] = this.list.waiting(held.room);
    const left = Math.ceil((held.until - performance.now()) / 1000);
    if (!first || left <= 0) {
      if (first) this.list.wait(first, "Sending…");
      this.#held = null;
      return;
    }
    this.list.wait(first, this.#why(held, left));
    for (const nonce of others) this.list.wait(nonce, "Waits for the message above.");
    clearTimeout(held.timer);
    held.timer = setTimeout(() => this.#tellHeld(), 1000);
  }

  #why({ room, code }, left) {
    const slow = this.client().room(room).about.slow_seconds;
    if (code !== "rate_limited") return `The server cannot store messages now. Next attempt in ${left} s.`;
    return slow ? `Slow mode: one message every ${slow} s. This one is sent in ${left} s.` : `Too many messages. This one is sent in ${left} s.`;
  }
}
