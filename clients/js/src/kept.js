/** What an earlier page has kept in the storage of the client (`offline.js`): it is shown and sent by this one. */

import { failure } from "./errors.js";

export class Kept {
  #storage;
  #session;
  /** @type {object | null} */
  #opening = null; // while it is open: what an earlier opening gives late may be another user's, or was forgotten

  constructor(storage, session) {
    this.#storage = storage;
    this.#session = session;
  }

  /** Open it before the first connection, and again after the page was put away. */
  async open(url) {
    if (!this.#storage || this.#opening) return;
    const opening = (this.#opening = {});
    const { user, clock, outbox } = this.#session;
    const { rows, rooms } = await this.#storage.open({
      user,
      url,
      clock,
      stored: (nonce) => outbox.stored(nonce),
      adopt: (more) => opening === this.#opening && (outbox.adopt(more), outbox.flush()),
      failed: (cause) => this.#session.failed(failure("storage", null, { cause })),
    });
    if (opening !== this.#opening) return;
    for (const kept of rooms) this.#session.room(kept.slug).restore(kept);
    outbox.restore(rows);
  }

  close() {
    if (this.#opening) this.#storage.close();
    this.#opening = null;
  }
}
