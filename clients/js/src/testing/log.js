/** The log of a room or topic: entries with positions, and pages of them. */

import { positionOf } from "../position.js";

const RESUME = 500; // as many as the server sends after a reconnect

/** @typedef {any} Stored a message of a room, or an entry of a topic */

export class FakeLog {
  epoch = "1";
  through = 0;
  /** @type {Stored[]} */
  entries = [];

  /**
   * Add an entry at the next position, and return it.
   * @param {object} fields
   * @returns {Stored}
   */
  add(fields) {
    const entry = { seq: ++this.through, ...fields };
    this.entries.push(entry);
    return entry;
  }

  /**
   * Replace an entry by its later state, which gets a position of its own.
   * @param {Stored} entry
   * @param {object} fields
   * @returns {Stored}
   */
  replace(entry, fields) {
    const changed = { ...entry, ...fields, changed_seq: ++this.through };
    this.entries = this.entries.map((one) => (one === entry ? changed : one));
    return changed;
  }

  /** Begin anew, as after the restore of a backup. */
  restart() {
    this.epoch = String(Number(this.epoch) + 1);
    this.through = 0;
    this.entries = [];
  }

  /**
   * Return all that was missed since a position, or null if it cannot be resumed.
   * @param {{ seq: number, epoch: string } | undefined} position
   */
  since(position) {
    if (position?.epoch !== this.epoch || position.seq > this.through) return null;
    const missed = this.#after(position.seq);
    return missed.length > RESUME ? null : missed;
  }

  /** @param {number} count */
  newest(count) {
    return { entries: count ? this.entries.slice(-count) : [], has_more: this.entries.length > count };
  }

  /** @param {{ before?: number, after?: number, limit?: number }} range */
  page({ before, after, limit = 50 }) {
    if (after !== undefined) {
      const missed = this.#after(after);
      const entries = missed.slice(0, limit);
      const has_more = missed.length > limit;
      return { entries, has_more, through: has_more ? positionOf(entries.at(-1)) : this.through };
    }
    const earlier = this.entries.filter(({ seq }) => seq < (before ?? Infinity));
    return { entries: earlier.slice(-limit), has_more: earlier.length > limit };
  }

  /** @param {number} seq */
  #after(seq) {
    return this.entries.filter((entry) => positionOf(entry) > seq).sort((a, b) => positionOf(a) - positionOf(b));
  }
}
