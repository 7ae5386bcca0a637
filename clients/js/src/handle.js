/** What rooms and topics have in common: a subscription that the page holds, and its state. */

import { Emitter } from "./emitter.js";
import { Recent } from "./recent.js";
import { Store } from "./store.js";
import { Subscription } from "./subscription.js";

/** @import { RealtimeError } from "./errors.js" */
/** @import { DetailOf, HandleState } from "./types.js" */

/**
 * @template [Events=any]
 * @template [Snapshot=any]
 * @extends {Emitter<Events>}
 */
export class Handle extends Emitter {
  /** Rooms and topics with a higher priority are entered first after a reconnect. */
  priority = 0;

  /**
   * What a screen shows.
   * @type {Store<Snapshot>}
   */
  store = /** @type {any} */ (null); // `shows` makes it
  /** @protected */
  session;
  /** @protected */
  subscription;
  /** @type {Set<Recent<any, any>>} */
  #recents = new Set();

  /** @param {any} session */
  constructor(session) {
    super();
    this.session = session;
    this.subscription = new Subscription(this, session);
  }

  /**
   * `idle`, `joining`, `live`, `stale` (the connection was lost: the data is not current) or `refused`.
   * @returns {HandleState}
   */
  get state() {
    return this.subscription.state;
  }

  /**
   * Why it was refused, or null.
   * @returns {RealtimeError | null}
   */
  get error() {
    return this.subscription.error;
  }

  /**
   * When a refusal that passes is tried again, in milliseconds of `Date.now()`, or null.
   * @returns {number | null}
   */
  get retryAt() {
    return this.subscription.retryAt;
  }

  /** Up to where all events were received: `{ seq, epoch }`, or null. */
  get position() {
    const { position: seq, epoch } = this.subscription;
    return epoch === null || seq === undefined ? null : { seq, epoch };
  }

  /** Whether the page has joined or subscribed, and not left. */
  get isHeld() {
    return this.subscription.isHeld;
  }

  /** Whether it is kept though the page may not refer to it any more. */
  get isUsed() {
    return this.isHeld || this.isHeard || this.store.isHeard;
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
  recent(type, { by, seconds, signal }) {
    const recent = this.remember(seconds, () => store.changed());
    const store = new Store(() => recent.all);
    const put = (/** @type {any} */ ...detail) => recent.put(by(...detail), detail[0]);
    this.on(type, /** @type {any} */ (put), { signal });
    const end = () => (recent.clear(), this.#recents.delete(recent));
    signal?.addEventListener("abort", end, { once: true });
    return store;
  }

  listened() {
    this.session.weigh(this);
  }

  /** Something has changed; called once for all changes of a received frame. */
  changed() {
    this.emit("change");
  }

  /** Stop what the client outlives. @param {RealtimeError} error */
  close(error) {
    for (const recent of this.#recents) recent.clear();
    this.subscription.close(error);
  }

  /**
   * Show these parts of the handle, and its state, in `store`.
   * @protected
   * @param {() => object} parts
   */
  shows(parts) {
    this.store = new Store(() => {
      const { state, error, retryAt } = this;
      return /** @type {any} */ ({ state, error, retryAt, ...parts() });
    });
    this.store.listened = () => this.listened();
  }

  /**
   * @protected
   * @param {number} seconds
   * @param {() => void} changed
   */
  remember(seconds, changed) {
    const recent = new Recent(seconds, this.session.clock, changed);
    this.#recents.add(recent);
    return recent;
  }

  /** @protected */
  touch() {
    this.session.touch(this);
  }

  // What the subscription asks of its owner

  /** Messages that wait have no subscription any more. @param {RealtimeError} _error */
  ended(_error) {}

  /** Whether to enter again at once, in another way. @param {RealtimeError} _error */
  retries(_error) {
    return false;
  }
}
