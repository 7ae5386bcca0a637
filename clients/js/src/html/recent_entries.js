/**
 * The entries of the last minute: a request may render an element before an entry, and the page insert it after that
 * entry has come.
 */

const MINUTE = 60_000;
const MOST_CHARACTERS = 4_000_000;

/** @typedef {import("./feed.js").Entry} Entry */

export class RecentEntries {
  /** @type {{ entry: Entry, at: number, size: number }[]} */
  #all = [];
  #size = 0;
  #complete = 0; // all entries from this moment on are here

  /** @param {Entry} entry */
  add(entry) {
    const at = Date.parse(entry.at);
    const size = entry.data?.html?.length ?? 0;
    this.#size += size;
    this.#all.push({ entry, at, size });
    while (this.#all[0].at < at - MINUTE || this.#size > MOST_CHARACTERS) this.#drop();
  }

  clear() {
    this.#all = [];
    this.#size = 0;
  }

  /** Return the entries since a moment, in milliseconds; null if some of them are gone. @param {number} moment */
  since(moment) {
    return moment < this.#complete ? null : this.#all.filter(({ at }) => at >= moment).map(({ entry }) => entry);
  }

  #drop() {
    const [{ at, size }] = this.#all.splice(0, 1);
    this.#size -= size;
    this.#complete = at + 1;
  }
}
