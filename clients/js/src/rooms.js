/** The rooms of a client, its messages without an ack, and what an earlier page has kept of both. */

import { failure } from "./errors.js";
import { Handles } from "./handles.js";
import { Kept } from "./kept.js";
import { Outbox } from "./outbox.js";
import { Room } from "./room.js";

/** @import { AddOnHost } from "./addon.js" */
/** @import { Entrance } from "./entrance.js" */

export class Rooms extends Handles {
  #kept;

  /** @param {AddOnHost} host @param {Entrance} entrance */
  constructor(host, entrance) {
    super("room", Room, host, entrance);
    const { queue = 500, keep = 2000, catchUp = "all", offline, user } = host.options;
    if (offline && !user) throw new TypeError("The option `offline` needs the option `user`: a message is kept for one user.");
    this.keep = keep;
    this.catchUp = catchUp;
    this.storage = offline;
    this.outbox = new Outbox(queue, this);
    this.#kept = new Kept(offline, this);
  }

  /** @protected */
  tellChange(room) {
    if (room.isHeld) this.storage?.changed(room);
    super.tellChange(room);
  }

  // What the client calls

  prepare(address) {
    return this.#kept.open(address);
  }

  moved(status) {
    this.#kept.moved(status);
  }

  tick() {
    this.outbox.repeat();
  }

  suspended() {
    this.#kept.close();
    this.outbox.close();
  }

  closed(error) {
    this.outbox.failAll(error);
    this.suspended();
    super.closed(error);
  }

  forget() {
    this.outbox.forget(failure("identity_changed", "not_sent"));
    this.#kept.close();
    super.forget();
  }

  erase(user) {
    return this.storage?.forget(user);
  }
}
