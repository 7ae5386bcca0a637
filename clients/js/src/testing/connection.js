/** One connection of a client to the fake server: what it has entered, and the frames on their way to it. */

/** @typedef {{ user_id: string, username: string }} User */

export class FakeConnection {
  /** @type {User} */
  user;
  isOpen = true;
  /** @type {Set<string>} */
  #entered = new Set(); // `room general`, `topic order/7`
  /** @type {string[]} */
  #lines = [];
  #holds = 0;
  #receiver;

  /**
   * @param {import("../transport.js").Receiver} receiver
   * @param {User} user
   */
  constructor(receiver, user) {
    this.#receiver = receiver;
    this.user = user;
  }

  /** @param {string} kind @param {string} name */
  enter(kind, name) {
    this.#entered.add(`${kind} ${name}`);
  }

  /** @param {string} kind @param {string} name */
  leave(kind, name) {
    this.#entered.delete(`${kind} ${name}`);
  }

  /** @param {string} kind @param {string} name */
  isIn(kind, name) {
    return this.#entered.has(`${kind} ${name}`);
  }

  /** Send a frame at once, unless frames are held. @param {object} frame */
  send(frame) {
    this.#lines.push(JSON.stringify(frame));
    this.#flush();
  }

  /** Gather what is sent until `release`: it becomes one frame. */
  hold() {
    this.#holds++;
  }

  release() {
    this.#holds--;
    this.#flush();
  }

  /** End the connection from the side of the server. @param {number} code @param {string} reason */
  end(code, reason) {
    this.#holds = 0;
    this.#flush();
    if (this.close()) this.#receiver.onEnd(code, reason);
  }

  /** Deliver nothing any more. Returns whether the connection was open. */
  close() {
    const { isOpen } = this;
    this.isOpen = false;
    return isOpen;
  }

  #flush() {
    if (!this.#lines.length || this.#holds > 0 || !this.isOpen) return;
    const text = this.#lines.join("\n");
    this.#lines = [];
    this.#receiver.onFrame(text);
  }
}
