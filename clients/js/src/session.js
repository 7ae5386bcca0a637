/**
 * What the parts of a client share: its user, its connection and its add-ons. It tells the add-ons what the connection
 * does: `Connection` calls it, and so do the transports around it (`Host` of transport.js).
 */

import { missing, use } from "./addon.js";
import { Connection } from "./connection.js";
import { failure } from "./errors.js";
import { Frames } from "./frames.js";
import { Identity } from "./identity.js";
import { request } from "./request.js";
import { websocket } from "./websocket.js";

/** @import { AddOn, AddOnHost } from "./addon.js" */

/** @implements {AddOnHost} */
export class Session {
  /** @type {Record<string, number>} */
  limits = {}; // of the server
  /** @type {any} */
  status = { state: "idle", code: null, reason: "", retryIn: null, transport: null }; // the latest event `state`

  #frames = new Frames(this);
  /** @type {Map<string, AddOn | undefined>} */
  #addOns; // by their names

  /** `client` emits the events; `stores` are those of the add-on; `parts(host)` makes rooms and topics. */
  constructor(client, { clock, stores, options, parts }) {
    const { heartbeat, signal, http } = options;
    this.client = client;
    this.options = options;
    this.clock = clock;
    this.stores = stores;
    this.http = http;
    this.identity = new Identity(options, () => this.forget());
    const token = (reason) => this.identity.token(reason);
    const url = (ending) => this.#address(options, ending);
    this.connection = new Connection({ transport: this.#transport(options), url, token, heartbeat, signal, clock }, this);
    this.#addOns = new Map([
      ["answers", use("answers", options.answers, this)],
      ...Object.entries(parts(this)),
      ["stores", stores],
    ]);
    this.status.state = this.connection.state;
  }

  /** @returns {string | null} */
  get user() {
    return this.identity.pinned;
  }

  request(command, options, take) {
    return request(this, command, options, take);
  }

  emit(type, detail) {
    this.client.emit(type, detail);
  }

  /** Tell the page of an error that belongs to no promise. */
  failed(error) {
    this.emit("error", { error });
  }

  // Add-ons

  /** Return an add-on. It throws if the page has not given it. */
  addOn(name) {
    return /** @type {any} */ (this.#addOns.get(name) ?? missing(name));
  }

  /** Let the add-ons take a frame. Returns whether one of them is done with it. */
  take(frame) {
    for (const addOn of this.#addOns.values()) if (addOn?.take?.(frame)) return true;
    return false;
  }

  /** @param {(addOn: AddOn) => unknown} act */
  #each(act) {
    return [...this.#addOns.values()].map((addOn) => addOn && act(addOn));
  }

  /** The user of the connection has changed, or has another token. */
  identified() {
    this.#each((addOn) => addOn.moved?.(this.status));
  }

  /** Connect after `close()`. */
  reopen() {
    this.#each((addOn) => addOn.reopened?.());
  }

  /** Drop all data of the last user. */
  forget() {
    this.#each((addOn) => addOn.forget?.());
  }

  /** Delete what is kept of a user in the browser. */
  erase(user) {
    return Promise.all(this.#each((addOn) => addOn.erase?.(user)));
  }

  // The transport

  #transport({ transport = websocket, fallback, tabs }) {
    return [fallback, tabs].reduce((inner, wrap) => (wrap ? wrap(inner, this) : inner), transport);
  }

  /** The line has another transport. */
  changed() {
    this.connection.tell();
  }

  /** @param {import("./types.js").ClientOptions} options @param {AbortSignal} ending */
  async #address({ url = "/ws/" }, ending) {
    const found = new URL(await (typeof url === "function" ? url() : url), globalThis.location?.href);
    found.protocol = found.protocol.replace("http", "ws");
    if (!ending.aborted) await Promise.all(this.#each((addOn) => addOn.prepare?.(found.origin + found.pathname)));
    return found;
  }

  // What the connection calls

  receive(frame, onReply) {
    this.#frames.receive(frame, onReply);
  }

  moved(status) {
    if (status.state === "closed") this.#closed(failure("closed", "unknown", { message: status.reason }));
    this.#each((addOn) => addOn.moved?.(status));
    this.status = status;
    this.client.touched();
    this.emit("state", status);
    if (status.state === "open" && this.connection.isOpen) this.#each((addOn) => addOn.opened?.());
  }

  #closed(error) {
    this.#each((addOn) => addOn.closed?.(error));
  }

  dropped() {
    this.#each((addOn) => addOn.dropped?.());
  }

  tick() {
    this.#each((addOn) => addOn.tick?.());
  }

  suspended() {
    this.#each((addOn) => addOn.suspended?.());
  }
}
