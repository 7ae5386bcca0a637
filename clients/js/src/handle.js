/** What rooms and topics have in common: a subscription that the page holds, and its state. */

import { Emitter } from "./emitter.js";
import { Subscription } from "./subscription.js";

export class Handle extends Emitter {
  /** Rooms and topics with a higher priority are entered first after a reconnect. */
  priority = 0;

  /** @protected */
  session;
  /** @protected */
  subscription;

  constructor(session) {
    super();
    this.session = session;
    this.subscription = new Subscription(this, session);
  }

  /** `idle`, `joining`, `live`, `stale` (the connection was lost: the data is not current) or `refused`. */
  get state() {
    return this.subscription.state;
  }

  /** Why it was refused, or null. */
  get error() {
    return this.subscription.error;
  }

  /** When a refusal that passes is tried again, in milliseconds of `Date.now()`, or null. */
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
    return this.isHeld || this.isHeard;
  }

  listened() {
    this.session.weigh(this);
  }

  /** Something has changed; called once for all changes of a received frame. */
  changed() {
    this.emit("change");
  }

  /** @protected */
  touch() {
    this.session.touch(this);
  }

  // What the subscription asks of its owner

  /** Messages that wait have no subscription any more. */
  ended() {}

  /** Whether to enter again at once, in another way. */
  retries() {
    return false;
  }
}
