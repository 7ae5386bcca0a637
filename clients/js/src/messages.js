/** The loaded messages of a room, from the oldest loaded one on. */

import { positionOf } from "./position.js";

const SLACK = 1.25; // so that not each message is a trim

export class MessageLog {
  hasMore = false; // whether the server has older ones
  first; // seq from which on all are loaded

  #all = new Map(); // id → latest state
  #unloaded = new Map(); // states of messages below `first`
  /** @type {readonly any[] | null} */
  #list = null;
  #limit;
  #keep;

  /** `limit`: how many messages are kept; earlier ones that the page has loaded stay as well. */
  constructor(limit) {
    this.#limit = this.#keep = limit;
  }

  /** The messages in the order of the room's log: a frozen array, and another one after a change. */
  get list() {
    return (this.#list ??= Object.freeze([...this.#all.values()].sort((a, b) => a.seq - b.seq)));
  }

  get(id) {
    return this.#all.get(id);
  }

  /** Replace all by the newest messages, which came with the room. */
  restart({ messages, has_more, through }) {
    this.#replace(messages);
    this.hasMore = has_more;
    this.first = Math.min(through + 1, ...messages.map(({ seq }) => seq));
  }

  /** Store a state of a message. Returns the event that it makes, or null. */
  put(message) {
    const known = this.#all.get(message.id);
    if (known && positionOf(message) <= positionOf(known)) return null;
    if (!known && this.hasMore && message.seq < this.first) return this.#putUnloaded(message);
    this.#list = null;
    this.#all.set(message.id, message);
    if (this.#all.size > this.#keep * SLACK) this.trim(this.#keep);
    return known ? "changed" : "message";
  }

  // It may be newer than the one in a page that is on its way.
  #putUnloaded(message) {
    this.#unloaded.set(message.id, message);
    if (this.#unloaded.size > this.#limit) this.#unloaded.delete(this.#unloaded.keys().next().value);
    return null;
  }

  /** Add a page of the messages before a seq. */
  prepend({ messages, has_more }, before) {
    if (before < this.first) return; // trimmed meanwhile: there would be a hole
    this.#list = null;
    for (const message of messages) {
      const known = this.#all.get(message.id) ?? this.#unloaded.get(message.id);
      this.#all.set(message.id, known && positionOf(known) > positionOf(message) ? known : message);
      this.first = Math.min(this.first, message.seq);
    }
    if (!messages.length || messages[0].seq === this.first) this.hasMore = has_more;
    this.#keep = Math.max(this.#keep, this.#all.size);
  }

  /** Forget all but the newest messages. Returns those that are gone. */
  trim(keep) {
    this.#keep = this.#limit;
    const gone = this.list.slice(0, Math.max(0, this.#all.size - keep));
    if (!gone.length) return gone;
    for (const { id } of gone) this.#all.delete(id);
    this.#list = null;
    this.first = gone.at(-1).seq + 1;
    this.hasMore = true;
    return gone;
  }

  clear() {
    this.#replace([]);
    this.hasMore = false;
    this.first = undefined;
  }

  #replace(messages) {
    this.#all = new Map(messages.map((message) => [message.id, message]));
    this.#unloaded.clear();
    this.#list = null;
  }
}
