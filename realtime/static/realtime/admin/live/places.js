// Rooms and topics of all processes: their parts are added, and their rates follow the positions.

/**
 * @typedef {{ key: string, kind: string, name: string, members: number, present: number | null, position: number }} Part
 * @typedef {Part & { text: string, rate: number, grown: number, parts: Map<string, Part> }} Place
 */

const KEPT = 0.8; // of a rate after a second, so that it is a mean of about five seconds
const STILL = 0.01; // entries a second, below which a place counts as still

export class Places {
  /** @type {Map<string, Place>} */
  rows = new Map();
  /** @type {Set<Place>} those with a rate */
  moving = new Set();

  /** Take what one process tells of some places; without members there, it has left them. */
  take(node, parts) {
    for (const part of parts) {
      if (part.members) this.#put(node, part);
      else this.#drop(node, this.rows.get(part.key));
    }
  }

  /** Take all places of a process, in the place of what is known of it. */
  replace(node, parts) {
    const keys = new Set(parts.map((part) => part.key));
    for (const row of this.rows.values()) if (!keys.has(row.key)) this.#drop(node, row);
    this.take(node, parts);
  }

  /** Forget a process. */
  forget(node) {
    for (const row of this.rows.values()) this.#drop(node, row);
  }

  /** Bring the rates up to date; called once a second. */
  tick() {
    for (const row of this.moving) {
      row.rate = row.rate * KEPT + row.grown * (1 - KEPT);
      row.grown = 0;
      if (row.rate < STILL) {
        row.rate = 0;
        this.moving.delete(row);
      }
    }
  }

  #put(node, part) {
    const row = this.rows.get(part.key) ?? { ...part, text: `${part.kind} ${part.name}`.toLowerCase(), rate: 0, grown: 0, parts: new Map() };
    this.rows.set(part.key, row);
    const before = row.position;
    row.parts.set(node, part);
    this.#sum(row);
    if (row.position <= before) return;
    row.grown += row.position - before;
    this.moving.add(row);
  }

  /** @param {string} node @param {Place} [row] */
  #drop(node, row) {
    if (!row?.parts.delete(node)) return;
    if (row.parts.size) return this.#sum(row);
    this.rows.delete(row.key);
    this.moving.delete(row);
  }

  #sum(row) {
    const parts = [...row.parts.values()];
    const present = parts.map((part) => part.present).filter((one) => one !== null);
    row.members = parts.reduce((sum, part) => sum + part.members, 0);
    row.present = present.length ? Math.max(...present) : null;
    row.position = Math.max(...parts.map((part) => part.position));
  }
}
