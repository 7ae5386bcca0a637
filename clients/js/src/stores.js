/** Stores for screens, the latest values of senders, and loops over events: what a page may read beside handlers. */

import { whenAborted } from "./abort.js";
import { addOn } from "./addon.js";
import { failure } from "./errors.js";
import { iterate } from "./events.js";
import { Recent } from "./recent.js";
import { Store } from "./store.js";

export { Store };

const TYPING_SECONDS = 6;

/** The parts of a snapshot, as long as nothing is known. */
/** @type {readonly any[]} */
const NONE = Object.freeze([]);
const HANDLE = { state: "idle", error: null, retryAt: null, members: new Map() };
/** @type {Readonly<Record<string, any>>} */
const ROOM = { ...HANDLE, messages: NONE, pending: NONE, hasMore: false, count: 0, about: {}, typing: new Map() };
/** @type {Readonly<Record<string, any>>} */
const TOPIC = { ...HANDLE, values: new Map(), entries: NONE, last: null, count: null };
const CLIENT = { state: "idle", code: null, reason: "", retryIn: null, transport: null, userId: null, username: null };

/** The option `stores` of a client: rooms, topics and the client get `store`, `recent()` and `events()`. */
export const stores = () => addOn((/** @type {import("./clock.js").Clock} */ clock) => new Stores(clock));

export class Stores {
  #clock;
  /** @type {Set<Recent<any, any>>} */
  #running = new Set(); // those that have a timer

  /** @param {import("./clock.js").Clock} clock of the client */
  constructor(clock) {
    this.#clock = clock;
  }

  /**
   * Make the store of a room, a topic or a client.
   * @param {any} target
   * @returns {Store<any>}
   */
  of(target) {
    const listened = () => target.listened();
    switch (target.kind) {
      case "room":
        return this.#ofRoom(target, listened);
      case "topic":
        return new Store(TOPIC, () => ({ ...read(target, TOPIC), values: target.shownValues }), listened);
      default:
        return new Store(CLIENT, () => ({ ...target.status, userId: target.userId, username: target.username }));
    }
  }

  /** @param {any} room @param {() => void} listened */
  #ofRoom(room, listened) {
    const typing = new Recent(TYPING_SECONDS, this.#clock, () => store.changed(), this.#running);
    const store = new Store(ROOM, () => ({ ...read(room, ROOM), typing: typing.all }), listened);
    store.take = (type, detail) => {
      if (type === "typing") typing.put(detail.user_id, detail);
      if (type === "message") typing.delete(detail.message.user_id);
    };
    return store;
  }

  /**
   * @param {any} target
   * @param {string} type
   * @param {{ by: (...detail: any[]) => any, seconds: number, signal?: AbortSignal }} options
   */
  recent(target, type, { by, seconds, signal }) {
    const recent = new Recent(seconds, this.#clock, () => store.changed(), this.#running);
    const store = new Store(recent.all, () => recent.all);
    target.on(type, (/** @type {any[]} */ ...detail) => recent.put(by(...detail), detail[0]), { signal });
    whenAborted(signal, () => recent.clear());
    return store;
  }

  /** @param {any} target @param {string} type @param {{ signal?: AbortSignal }} [options] */
  events(target, type, { signal } = {}) {
    return iterate((handler) => target.on(type, handler), signal, () => failure("overflow"));
  }

  /** Forget the latest values: the client was closed. */
  closed() {
    for (const recent of this.#running) recent.clear();
  }
}

/** @param {any} target @param {object} parts */
const read = (target, parts) => Object.fromEntries(Object.keys(parts).map((name) => [name, target[name]]));
