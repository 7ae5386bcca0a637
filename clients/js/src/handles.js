/**
 * The rooms of a client, or its topics: found by name, entered by batches, and told of once for all changes of a frame.
 */

import { RealtimeError } from "./errors.js";
import { WeakNames } from "./weak_names.js";

/** @import { AddOn, AddOnHost } from "./addon.js" */
/** @import { Entrance } from "./entrance.js" */

/** @implements {AddOn} */
export class Handles {
  kind;
  host;
  entrance;
  #all;
  #used = new Set(); // those that are kept though the page may not refer to them
  #changed = new Set(); // those of this task

  /**
   * `kind` is `room` or `topic`, the field of a frame that has the name.
   * @param {"room" | "topic"} kind
   * @param {new (name: string, handles: any) => any} Handle
   * @param {AddOnHost} host
   * @param {Entrance} entrance
   */
  constructor(kind, Handle, host, entrance) {
    this.kind = kind;
    this.host = host;
    this.entrance = entrance;
    this.#all = new WeakNames((name) => new Handle(name, this));
  }

  /** @param {string} name */
  get(name) {
    return this.#all.get(name);
  }

  /** Name one as the server does. Returns whether that name is free. */
  rename(handle, name) {
    const other = this.#all.find(name);
    if (other && other !== handle && other.isHeld) return false;
    return this.#all.set(name, handle);
  }

  /** Record that one has changed. Screens follow once for all changes of a frame. */
  touch(handle) {
    handle.touched();
    this.weigh(handle);
    if (!this.#changed.size) queueMicrotask(() => this.#tellChanges());
    this.#changed.add(handle);
  }

  /** Keep one from being collected as long as it is used. */
  weigh(handle) {
    if (handle.isUsed) this.#used.add(handle);
    else this.#used.delete(handle);
  }

  #tellChanges() {
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const handle of changed) this.tellChange(handle);
  }

  /** @protected */
  tellChange(handle) {
    handle.emit("change");
  }

  // What the client calls

  take(frame) {
    const handle = this.#all.find(frame[this.kind]);
    if (!handle) return false;
    const { subscription } = handle;
    const { isFollowed } = subscription; // not if a handler has just left it
    switch (frame.type) {
      case "resync":
        subscription.resync();
        return true;
      case "removed":
        subscription.remove(new RealtimeError({ ...frame, retryable: frame.code === "unavailable" }));
        return true;
      case "message":
      case "changed":
      case "event":
      case "room":
      case "left":
      case "presence":
      case "typing":
        if (isFollowed) handle.receive(frame);
        return true;
      case "joined":
      case "signal":
        if (isFollowed) handle.receive(frame);
        return isFollowed || frame.through === undefined; // else the site has moved the client
      default:
        return false;
    }
  }

  opened() {
    for (const { subscription } of this.#all) this.entrance.add(subscription);
  }

  dropped() {
    for (const { subscription } of this.#all) subscription.detach();
  }

  closed(error) {
    for (const { subscription } of this.#all) subscription.close(error);
  }

  // The signals of the holders count again.
  reopened() {
    for (const { subscription } of this.#all) subscription.reopen();
  }

  forget() {
    for (const handle of this.#all) handle.forget();
  }
}
