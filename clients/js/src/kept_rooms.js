/**
 * The newest messages of rooms in IndexedDB, each room in one row with the position that its messages reach:
 * a position without them would be a hole.
 */

const WRITE_SECONDS = 1;
const MOST_ROOMS = 50;
const MOST_BYTES = 2 ** 21;

const isIntact = ({ messages, seq, epoch }) =>
  Array.isArray(messages) && messages.every((message) => message?.id && message.seq <= seq) && typeof epoch === "string";

export class KeptRooms {
  #keep;
  #host;
  #changed = new Map(); // slug → room, until it is written
  #sizes = new Map(); // by slug, the least recently used first
  #stop = () => {};

  /** `keep`: how many messages of a room. `host`: user, clock, write(act, mode). */
  constructor(keep, host) {
    this.#keep = keep;
    this.#host = host;
  }

  async read() {
    if (!this.#keep) return [];
    const { user, write } = this.#host;
    const found = await write((outbox, rooms) => {
      const all = rooms.index("user").getAll(user);
      return () => all.result;
    }, "readonly");
    const intact = (found || []).filter(isIntact).sort((one, other) => one.at - other.at);
    for (const { slug, messages } of intact) this.#sizes.set(slug, sizeOf(messages));
    return intact;
  }

  /** Write a room within a second. */
  changed(room) {
    if (!this.#changed.size) this.#stop = this.#host.clock.after(WRITE_SECONDS, () => this.flush());
    this.#changed.set(room.slug, room);
  }

  /** Write all rooms that have changed. */
  flush() {
    this.#stop();
    for (const room of this.#changed.values()) if (room.position) this.#put(room);
    this.#changed.clear();
  }

  #put({ slug, position, messages }) {
    const { user, clock, write } = this.#host;
    const kept = messages.slice(-this.#keep);
    const at = clock.serverNow() || clock.wallAt(clock.now());
    this.#sizes.delete(slug);
    this.#sizes.set(slug, sizeOf(kept));
    const gone = this.#evict();
    write((outbox, rooms) => {
      rooms.put({ v: 1, user, slug, ...position, messages: kept, at });
      for (const other of gone) rooms.delete([user, other]);
    });
  }

  // The slugs beyond the bounds, the least recently used first.
  #evict() {
    let bytes = [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
    const gone = [];
    for (const [slug, size] of this.#sizes) {
      if (this.#sizes.size <= MOST_ROOMS && bytes <= MOST_BYTES) break;
      this.#sizes.delete(slug);
      bytes -= size;
      gone.push(slug);
    }
    return gone;
  }
}

const sizeOf = (messages) => JSON.stringify(messages).length;
