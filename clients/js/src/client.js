/**
 * The browser client (protocol v1), which is all that a page imports: one user, rooms and topics that are entered
 * again after each reconnect, and messages that are sent until they are acknowledged. docs/client.md
 */

import { Answers } from "./answers.js";
import { Clock } from "./clock.js";
import { readConfig } from "./config.js";
import { Connection } from "./connection.js";
import { Emitter } from "./emitter.js";
import { Entrance } from "./entrance.js";
import { failure, RealtimeError } from "./errors.js";
import { Handles } from "./handles.js";
import { Identity } from "./identity.js";
import { makeNonce, Outbox } from "./outbox.js";
import { Room } from "./room.js";
import { Store } from "./store.js";
import { Topic } from "./topic.js";
import { websocket } from "./websocket.js";

export { makeNonce, readConfig, RealtimeError };

/** @import { AnySite, ClientEvents, ClientOptions, ClientSnapshot, ClientState, Lifetime, RequestOptions, SiteTypes, TopicOf } from "./types.js" */

const REQUEST_SECONDS = 10;

/**
 * @template {SiteTypes} [Site=AnySite]
 * @extends {Emitter<ClientEvents>}
 */
export class RealtimeClient extends Emitter {
  /** @type {Record<string, number>} */
  limits = {};
  /**
   * What a screen shows of the connection.
   * @type {Store<ClientSnapshot>}
   */
  store;

  #rooms = new Handles();
  #topics = new Handles();
  #changed = new Set(); // rooms and topics, in this task
  #answers;
  #options;
  #clock;
  #identity;
  #connection;
  #entrance;
  #outbox;
  #session;
  #storage;
  #told; // the latest event `state`

  /**
   * `url` and `token` may be values or (async) functions, called on each attempt. `user` is the user_id
   * that the page was made for (`guest:` for any guest); without it the first `welcome` decides. `name`
   * is the name of a new guest. `heartbeat` in silent seconds; `queue` bounds the messages without an ack, `keep` those
   * of a room. `catchUp`: deliver `all` missed messages, or the `newest` only (event `reset`). `signal` ends the client.
   * `transport`, `fallback`, `tabs`, `offline` and `clock`: see transport.js.
   * @param {ClientOptions} [options]
   */
  constructor(options = {}) {
    super();
    const { queue = 500, keep = 2000, catchUp = "all", offline } = options;
    if (offline && !options.user) throw new TypeError("The option `offline` needs the option `user`: a message is kept for one user.");
    this.#options = options;
    this.#storage = offline;
    this.#clock = new Clock(options.clock);
    this.#identity = new Identity(options, () => this.#forget());
    this.#connection = this.#makeConnection();
    this.#answers = new Answers(this.#connection, this.#clock);
    this.#told = { state: this.state, code: null, reason: "", retryIn: null, transport: null };
    this.store = new Store(() => ({ ...this.#told, userId: this.userId, username: this.username }));
    this.#entrance = new Entrance(this.#connection, this.#clock);
    this.#session = this.#makeSession({ keep, catchUp });
    this.#session.outbox = this.#outbox = new Outbox(queue, this.#session);
  }

  /**
   * `idle`, `connecting`, `open`, `waiting`, `suspended` or `closed`.
   * @returns {ClientState}
   */
  get state() {
    return this.#connection.state;
  }

  /** When the next attempt is due, in milliseconds of `Date.now()`. */
  get retryAt() {
    return this.#connection.retryAt;
  }

  /** @returns {string | null} */
  get userId() {
    return this.#identity.userId;
  }

  /** @returns {string | null} */
  get username() {
    return this.#identity.username;
  }

  /**
   * Connect, and stay connected until `close()`; while waiting for the next attempt: try now.
   * Another `user` is accepted from now on: rooms are emptied, waiting messages are rejected.
   */
  connect({ user = this.#identity.pinned } = {}) {
    if (user !== this.#identity.pinned) {
      this.#connection.reset();
      this.#identity.change(user);
    }
    if (this.state === "closed" && !this.#connection.isAborted) for (const { subscription } of this.#handles()) subscription.reopen();
    this.#connection.connect();
  }

  close() {
    this.#connection.close();
  }

  [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
    this.close();
  }

  /** Close, and delete what is kept of this user in the browser. A link to log out waits for it. */
  async forget() {
    const user = this.#identity.pinned;
    this.close();
    this.#forget();
    await this.#storage?.forget(user);
  }

  /**
   * The room of a slug. Nothing is sent before `join`.
   * @param {string} slug
   * @returns {Room}
   */
  room(slug) {
    return this.#rooms.find(slug) ?? this.#rooms.set(slug, new Room(slug, this.#session));
  }

  /**
   * The topic of a path. Nothing is sent before `subscribe`.
   * @template {string} Path
   * @param {Path} path
   * @returns {Topic<TopicOf<Site, Path>>}
   */
  topic(path) {
    return this.#topics.find(path) ?? this.#topics.set(path, new Topic(path, this.#session));
  }

  /**
   * Answer questions of the site with this name by `handler(data, { signal })`, until the signal of the options aborts.
   * It returns an object, or nothing. An error with a `code` refuses. Its `signal` aborts when the time of the question
   * is over or the line is lost. Returns a function that stops it.
   * @param {string} name
   * @param {(data: any, context: { signal: AbortSignal }) => unknown} handler
   * @param {Lifetime} [options]
   */
  answer(name, handler, options) {
    return this.#answers.add(name, handler, options);
  }

  /**
   * Send any command once; settles with its reply. Without a connection it fails at once, or after `wait` seconds.
   * It also fails after `timeout` seconds without a reply, and when the signal aborts.
   * @param {{ type: string, [field: string]: any }} command
   * @param {RequestOptions} [options]
   * @returns {Promise<any>}
   */
  request(command, options) {
    return this.#request(command, options);
  }

  /** @param {object} command @param {RequestOptions} [options] @param {(reply: any) => void} [take] */
  async #request(command, { timeout = REQUEST_SECONDS, wait = 0, signal } = {}, take) {
    if (wait && this.state !== "open" && !signal?.aborted) await this.#opens(wait, signal);
    if (signal?.aborted) throw failure("aborted", "not_sent");
    if (this.state !== "open") throw failure("offline", "not_sent", { retryable: true });
    return new Promise((resolve, reject) => {
      const aborted = () => reject(failure("aborted", "unknown"));
      const settle = (end) => (value) => (signal?.removeEventListener("abort", aborted), end(value));
      signal?.addEventListener("abort", aborted);
      const reply = (frame) => (take?.(frame), settle(resolve)(frame));
      this.#connection.ask(command, reply, settle(reject), { seconds: timeout });
    });
  }

  #opens(seconds, signal) {
    return /** @type {Promise<void>} */ (new Promise((resolve) => {
      const moved = ({ state }) => (state === "open" || state === "closed") && end();
      const ends = [this.#clock.after(seconds, () => end()), this.on("state", moved)];
      const end = () => {
        for (const stop of ends) stop();
        signal?.removeEventListener("abort", end);
        resolve();
      };
      signal?.addEventListener("abort", end);
    }));
  }

  // How the parts reach one another

  #makeConnection() {
    const { url = "/ws/", heartbeat, signal } = this.#options;
    const address = async (signal) => {
      const found = new URL(await (typeof url === "function" ? url() : url), globalThis.location?.href);
      found.protocol = found.protocol.replace("http", "ws");
      if (!signal.aborted) await this.#open(found.origin + found.pathname);
      return found;
    };
    const token = (reason) => this.#identity.token(reason);
    return new Connection({ transport: this.#makeTransport(), url: address, token, heartbeat, signal, clock: this.#clock }, {
      receive: (frame, onReply) => this.#receive(frame, onReply),
      changed: (detail) => this.#moved(detail),
      dropped: () => this.#dropped(),
      suspended: () => this.#let(failure("offline", "unknown")),
      tick: () => this.#outbox.repeat(),
      failed: (error) => this.#fail(error),
    });
  }

  #makeTransport() {
    const { transport = websocket, fallback, tabs, http } = this.#options;
    const identity = this.#identity;
    const host = {
      clock: this.#clock,
      http,
      get user() {
        return identity.pinned;
      },
      changed: () => this.#connection.tell(),
      failed: (error) => this.#fail(error),
    };
    return [fallback, tabs].reduce((inner, wrap) => (wrap ? wrap(inner, host) : inner), transport);
  }

  #makeSession(more) {
    const client = this;
    return {
      ...more,
      clock: this.#clock,
      connection: this.#connection,
      entrance: this.#entrance,
      storage: this.#storage,
      get limits() {
        return client.limits;
      },
      room: (slug) => this.room(slug),
      request: (/** @type {[command: any, options?: any, take?: any]} */ ...command) => this.#request(...command),
      rename: (topic, path) => this.#rename(topic, path),
      emit: (type, detail) => this.emit(type, detail),
      failed: (error) => this.#fail(error),
      touch: (handle) => this.#touch(handle),
      weigh: (handle) => this.#of(handle).weigh(handle),
    };
  }

  #of(handle) {
    return handle instanceof Room ? this.#rooms : this.#topics;
  }

  #handles() {
    return [...this.#rooms, ...this.#topics];
  }

  #rename(topic, path) {
    const other = this.#topics.find(path);
    if (other && other !== topic && other.isHeld) return false;
    return this.#topics.set(path, topic);
  }

  // Screens follow once for all changes of a frame.
  #touch(handle) {
    handle.store.changed();
    this.#of(handle).weigh(handle);
    if (!this.#changed.size) queueMicrotask(() => this.#tellChanges());
    this.#changed.add(handle);
  }

  #tellChanges() {
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const handle of changed) {
      if (handle instanceof Room && handle.isHeld) this.#storage?.changed(handle);
      handle.changed();
    }
  }

  #fail(error) {
    this.emit("error", { error });
  }

  // The storage

  /** @type {object | null} */
  #opening = null; // while it is open: what an earlier opening gives late may be another user's, or was forgotten

  // Before the first connection, and again after the page was put away.
  async #open(url) {
    if (!this.#storage || this.#opening) return;
    const opening = (this.#opening = {});
    const { rows, rooms } = await this.#storage.open({
      user: this.#identity.pinned,
      url,
      clock: this.#clock,
      stored: (nonce) => this.#outbox.stored(nonce),
      adopt: (more) => opening === this.#opening && (this.#outbox.adopt(more), this.#outbox.flush()),
      failed: (cause) => this.#fail(failure("storage", null, { cause })),
    });
    if (opening !== this.#opening) return;
    for (const kept of rooms) this.room(kept.slug).restore(kept);
    this.#outbox.restore(rows);
  }

  // Let go of everything that outlives the client or keeps its page from being restored.
  #let(error, isClosed = false) {
    this.#closeStorage();
    this.#outbox.close();
    if (isClosed) for (const handle of this.#handles()) handle.close(error);
  }

  #closeStorage() {
    if (this.#opening) this.#storage.close();
    this.#opening = null;
  }

  // The connection

  #moved(detail) {
    if (detail.state === "closed") this.#closed(failure("closed", "unknown", { message: detail.reason }));
    this.#told = detail;
    this.store.changed();
    this.emit("state", detail);
    if (detail.state === "open" && this.state === "open") for (const { subscription } of this.#handles()) this.#entrance.add(subscription);
  }

  #closed(error) {
    this.#outbox.failAll(error);
    this.#let(error, true);
  }

  #dropped() {
    this.#answers.dropped();
    this.#entrance.dropped();
    for (const { subscription } of this.#handles()) subscription.detach();
  }

  #forget() {
    this.#outbox.forget(failure("identity_changed", "not_sent"));
    this.#closeStorage();
    for (const handle of this.#handles()) handle.forget();
  }

  // Frames

  #receive(frame, onReply) {
    if (frame.type === "welcome") return this.#welcome(frame);
    if (frame.type === "authenticated" && !this.#authenticated(frame, onReply)) return;
    if (!onReply || ["authenticated", "presence", "resync"].includes(frame.type)) this.#tell(frame);
    onReply?.(frame);
  }

  #tell(frame) {
    const handle = this.#rooms.find(frame.room) ?? this.#topics.find(frame.topic);
    const isFollowed = handle?.subscription.isFollowed; // not if a handler has just left it
    switch (frame.type) {
      case "ask":
        return this.#answers.ask(frame);
      case "error":
        return this.#answers.refused(frame) || this.#fail(new RealtimeError(frame));
      case "resync":
        return handle?.subscription.resync();
      case "removed":
        return handle?.subscription.remove(new RealtimeError({ ...frame, retryable: frame.code === "unavailable" }));
      case "message":
      case "changed":
      case "event":
      case "room":
      case "left":
      case "presence":
      case "typing":
        return isFollowed && handle.receive(frame);
      case "joined":
      case "signal":
        if (isFollowed) return handle.receive(frame); // else the site has moved the client, or tells all
        if (handle && frame.through === undefined) return;
      case "authenticated":
      case "invited":
      case "notice":
      case "pong":
        return this.emit(frame.type, frame);
      default:
        this.emit("unknown", frame);
    }
  }

  #welcome(frame) {
    const identity = this.#identity;
    identity.learn(frame);
    const name = identity.wantedName;
    if (!name && !this.#isExpected()) return;
    this.limits = frame.limits ?? {};
    this.#connection.startHeartbeat(frame.heartbeat);
    this.emit("welcome", frame);
    if (!name) return this.#opened();
    const refused = (error) => {
      if (error.code === "offline") return;
      if (error.isRetryable) this.#connection.retry(error);
      else this.#connection.close(4500, error.message);
    };
    this.#connection.ask({ type: "auth", name }, () => this.#isExpected() && this.#opened(), refused, { seconds: REQUEST_SECONDS });
  }

  #opened() {
    this.#identity.named();
    this.#connection.opened();
  }

  // Whether the client goes on. With a reply, the page itself has asked to be this user.
  #authenticated(frame, onReply) {
    this.#identity.learn(frame);
    if (this.state !== "open") return true;
    if (!onReply) return this.#isExpected();
    this.#identity.adopt();
    return true;
  }

  #isExpected() {
    const isExpected = this.#identity.confirm();
    if (!isExpected) this.#connection.close("identity_changed", "You are signed in as somebody else now.");
    return isExpected;
  }
}
