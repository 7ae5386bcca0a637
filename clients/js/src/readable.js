/** What a client, a room and a topic are for a page: events, and with the add-on `stores.js` also stores and loops. */

import { missing } from "./addon.js";
import { Emitter } from "./emitter.js";

/** @import { Store } from "./store.js" */
/** @import { Stores } from "./stores.js" */
/** @import { DetailOf, EventOf, Lifetime } from "./types.js" */

/**
 * @template [Events=any]
 * @template [Snapshot=any]
 * @extends {Emitter<Events>}
 */
export class Readable extends Emitter {
  #stores;
  /** @type {Store<Snapshot> | undefined} */
  #store;

  /** @param {Stores | undefined} stores */
  constructor(stores) {
    super();
    this.#stores = stores;
    this.#store = stores?.of(this);
  }

  /**
   * What a screen shows.
   * @returns {Store<Snapshot>}
   */
  get store() {
    return this.#store ?? missing("stores");
  }

  get isHeard() {
    return super.isHeard || Boolean(this.#store?.isHeard);
  }

  /**
   * Return a store of the latest data of each sender, each gone after some seconds. `by` tells the sender of an
   * event, and the signal ends it.
   * @template {keyof Events & string} Type
   * @template Key
   * @param {Type} type
   * @param {{ by: (...detail: DetailOf<Events[Type]>) => Key, seconds: number, signal?: AbortSignal }} options
   * @returns {Store<Map<Key, DetailOf<Events[Type]>[0]>>}
   */
  recent(type, options) {
    return (this.#stores ?? missing("stores")).recent(this, type, options);
  }

  /**
   * Iterate over the events of a type from now on, until the signal aborts. A topic gives its entries.
   * @template {keyof Events & string} Type
   * @param {Type} type
   * @param {Lifetime} [options]
   * @returns {AsyncGenerator<EventOf<Events[Type]>, void, undefined>}
   */
  events(type, options) {
    return (this.#stores ?? missing("stores")).events(this, type, options);
  }

  /** @param {string} type @param {any[]} detail */
  emit(type, ...detail) {
    this.#store?.take(type, detail[0]);
    super.emit(type, ...detail);
  }

  /** Record that the store may have changed. */
  touched() {
    this.#store?.changed();
  }
}
