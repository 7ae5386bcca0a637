/**
 * The core of the browser client (protocol v1): one connection of one user, requests and pushes. Rooms and topics are
 * add-ons. docs/client.md
 */

import { use } from "./addon.js";
import { Clock } from "./clock.js";
import { readConfig } from "./config.js";
import { RealtimeError } from "./errors.js";
import { Readable } from "./readable.js";
import { Session } from "./session.js";

export { readConfig, RealtimeError };

/** @import { Parts } from "./addon.js" */
/** @import { Room } from "./room.js" */
/** @import { Topic } from "./topic.js" */
/** @import { AnySite, ClientEvents, ClientOptions, ClientSnapshot, ClientState, Lifetime, RequestOptions, SiteTypes, Status, TopicOf } from "./types.js" */

/**
 * @template {SiteTypes} [Site=AnySite]
 * @extends {Readable<ClientEvents, ClientSnapshot>}
 */
export class RealtimeClient extends Readable {
  #session;

  /**
   * `url` and `token` may be values or (async) functions, called on each attempt. `user` is the user_id
   * that the page was made for (`guest:` for any guest); without it the first `welcome` decides. `name`
   * is the name of a new guest. `heartbeat` in silent seconds; `queue` bounds the messages without an ack, `keep` those
   * of a room. `catchUp`: deliver `all` missed messages, or the `newest` only (event `reset`). `signal` ends the client.
   * `stores` and `answers` are add-ons. `transport`, `fallback`, `tabs`, `offline` and `clock`: see transport.js.
   * @param {ClientOptions} [options]
   * @param {Parts} [parts] what another file adds to this one
   */
  constructor(options = {}, parts = () => ({})) {
    const clock = new Clock(options.clock);
    const stores = use("stores", options.stores, clock);
    super(stores);
    this.#session = new Session(this, { clock, stores, options, parts });
    if (options.offline) this.#session.addOn("rooms"); // which keep it
  }

  /**
   * `idle`, `connecting`, `open`, `waiting`, `suspended` or `closed`.
   * @returns {ClientState}
   */
  get state() {
    return this.#session.connection.state;
  }

  /**
   * The detail of the latest event `state`.
   * @returns {Status}
   */
  get status() {
    return this.#session.status;
  }

  /** When the next attempt is due, in milliseconds of `Date.now()`. */
  get retryAt() {
    return this.#session.connection.retryAt;
  }

  /** @returns {string | null} */
  get userId() {
    return this.#session.identity.userId;
  }

  /** @returns {string | null} */
  get username() {
    return this.#session.identity.username;
  }

  /** What the server permits: `content_characters`, `frame_bytes` and so on. */
  get limits() {
    return this.#session.limits;
  }

  /**
   * Connect, and stay connected until `close()`; while waiting for the next attempt: try now.
   * Another `user` is accepted from now on: rooms are emptied, waiting messages are rejected.
   */
  connect({ user = this.#session.user } = {}) {
    const { connection, identity } = this.#session;
    if (user !== identity.pinned) {
      connection.reset();
      identity.change(user);
    }
    if (this.state === "closed" && !connection.isAborted) this.#session.reopen();
    connection.connect();
  }

  close() {
    this.#session.connection.close();
  }

  [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
    this.close();
  }

  /** Close, and delete what is kept of this user in the browser. A link to log out waits for it. */
  async forget() {
    const { user } = this.#session;
    this.close();
    this.#session.forget();
    await this.#session.erase(user);
  }

  /**
   * The room of a slug. Nothing is sent before `join`.
   * @param {string} slug
   * @returns {Room}
   */
  room(slug) {
    return this.#session.addOn("rooms").get(slug);
  }

  /**
   * The topic of a path. Nothing is sent before `subscribe`.
   * @template {string} Path
   * @param {Path} path
   * @returns {Topic<TopicOf<Site, Path>>}
   */
  topic(path) {
    return this.#session.addOn("topics").get(path);
  }

  /**
   * Answer questions of the site with this name by `handler(data, { signal })`, until the signal of the options aborts.
   * It returns an object, or nothing. An error with a `code` refuses. Its `signal` aborts when the time of the question
   * is over or the line is lost. Returns a function that stops it.
   * @param {string} name
   * @param {(data: any, context: { signal: AbortSignal }) => unknown} handler
   * @param {Lifetime} [options]
   * @returns {() => void}
   */
  answer(name, handler, options) {
    return this.#session.addOn("answers").add(name, handler, options);
  }

  /**
   * Send any command once; settles with its reply. Without a connection it fails at once, or after `wait` seconds.
   * It also fails after `timeout` seconds without a reply, and when the signal aborts.
   * @param {{ type: string, [field: string]: any }} command
   * @param {RequestOptions} [options]
   * @returns {Promise<any>}
   */
  request(command, options) {
    return this.#session.request(command, options);
  }
}
