/** What rooms and topics have in common: a subscription that the page holds, and its state. */

import { Readable } from "./readable.js";
import { Subscription } from "./subscription.js";

/** @import { RealtimeError } from "./errors.js" */
/** @import { HandleState, Page } from "./types.js" */

/**
 * @template [Events=any]
 * @template [Snapshot=any]
 * @extends {Readable<Events, Snapshot>}
 */
export class Handle extends Readable {
  /** Rooms and topics with a higher priority are entered first after a reconnect. */
  priority = 0;

  /** @protected */
  handles; // those of its kind
  /** @protected */
  host;
  /** @protected */
  subscription;

  /** @param {any} handles */
  constructor(handles) {
    super(handles.host.stores);
    this.handles = handles;
    this.host = handles.host;
    this.subscription = new Subscription(this, handles);
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

  /**
   * Settles with this object once it is live for the first time, and rejects if it is refused or left before.
   * It is the same promise until the next join or subscription.
   * @returns {Promise<this>}
   */
  get ready() {
    return this.subscription.ready;
  }

  /** Whether the page has joined or subscribed, and not left. */
  get isHeld() {
    return this.subscription.isHeld;
  }

  /** Whether it is kept though the page may not refer to it any more. */
  get isUsed() {
    return this.isHeld || this.isHeard;
  }

  listened() {
    this.handles.weigh(this);
  }

  /** @protected */
  touch() {
    this.handles.touch(this);
  }

  /**
   * Request a page of the log.
   * @protected
   * @param {Page} page
   * @param {(reply: any) => void} [take]
   */
  page({ before, after, limit = 50, ...options }, take) {
    return this.host.request({ type: "history", .../** @type {any} */ (this).target, before, after, limit }, options, take);
  }

  // What the subscription asks of its owner

  /** Messages that wait have no subscription any more. @param {RealtimeError} _error */
  ended(_error) {}

  /** Whether to enter again at once, in another way. @param {RealtimeError} _error */
  retries(_error) {
    return false;
  }
}
