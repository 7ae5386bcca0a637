/** What an earlier page has kept in the storage of the client (`offline.js`): it is shown and sent by this one. */

import { failure } from "./errors.js";

export class Kept {
  #storage;
  #rooms;
  /** @type {{ user: string | null } | null} */
  #opening = null; // while it is open: what an earlier opening gives late may be another user's, or was forgotten
  #url;

  constructor(storage, rooms) {
    this.#storage = storage;
    this.#rooms = rooms;
  }

  /** Open it before the first connection, after the page was put away, and for a guest that was not known before. */
  async open(url = this.#url) {
    const { outbox, host } = this.#rooms;
    const { clock, identity } = host;
    const user = identity.pinned;
    if (!this.#storage || this.#opening?.user === user) return;
    this.close();
    this.#url = url;
    const opening = (this.#opening = { user });
    const { rows, rooms, guest } = await this.#storage.open({
      user,
      url,
      clock,
      stored: (nonce) => outbox.stored(nonce),
      adopt: (more) => opening === this.#opening && (outbox.adopt(more), outbox.flush()),
      failed: (cause) => host.failed(failure("storage", null, { cause })),
    });
    if (opening !== this.#opening) return;
    if (guest) opening.user = identity.restore(guest);
    for (const kept of rooms) this.#rooms.get(kept.slug).restore(kept);
    outbox.restore(rows);
  }

  /** Tell it how the client is connected, and as whom: a new guest was not known before. */
  moved(status) {
    this.#storage?.moved?.(status, this.#rooms.host.identity);
    if (status.state === "open") this.open();
  }

  close() {
    if (this.#opening) this.#storage.close();
    this.#opening = null;
  }
}
