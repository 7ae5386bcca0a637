/**
 * The browser client (protocol v1), which is all that a page imports: one user, rooms and topics that are entered
 * again after each reconnect, and messages that are sent until they are acknowledged. docs/client.md
 */

import { Clock } from "./clock.js";
import { Connection } from "./connection.js";
import { Outbox, makeNonce } from "./outbox.js";
import { Room } from "./room.js";
import { Subscription } from "./subscription.js";
import { Topic } from "./topic.js";

export { Room, Topic, makeNonce };

const isGuest = (userId) => userId.startsWith("guest:");

/**
 * `code`: the protocol's, or `offline`, `closed`, `left`, `queue_full`, `expired`, `identity_changed`, `duplicate`, `resync`.
 * `path` names a wrong field, and `outcome` is `unknown` if the command may have been executed.
 */
export class RealtimeError extends Error {
  constructor({ code, message = code, retryable = false, retry_after, path, outcome }) {
    super(message);
    this.name = "RealtimeError";
    this.code = code;
    this.retryable = retryable;
    this.retryAfter = retry_after;
    Object.assign(this, { path, outcome });
  }
}

export class RealtimeClient extends EventTarget {
  rooms = new Map();
  topics = new Map();
  userId = null;
  username = null;
  limits = {};

  #options;
  #connection;
  #outbox;
  #session;
  #user; // the only user that this client may be
  #guestToken = null;
  #isNamed = false; // a guest who was here before keeps the name

  /**
   * `url` and `token` may be values or (async) functions, called on each attempt. `user` is the user_id
   * that the page was made for (`guest:` for any guest); without it the first `welcome` decides. `name`
   * is the name of a new guest. `heartbeat` in silent seconds; `queue` bounds the messages without an ack.
   * `catchUp`: deliver `all` missed messages, or the `newest` only (event `reset`).
   */
  constructor({ url = "/ws/", token = null, user = null, name = null, heartbeat, queue = 500, signal = null, catchUp = "all" } = {}) {
    super();
    const clock = new Clock();
    this.#options = { token, name };
    this.#user = user;
    this.#connection = this.#makeConnection({ url, heartbeat, signal }, clock);
    this.#session = this.#makeSession(catchUp);
    this.#outbox = new Outbox(queue, clock, this.#session);
  }

  /** `idle`, `connecting`, `open`, `waiting` or `closed`. */
  get state() {
    return this.#connection.state;
  }

  /** When the next attempt is due, in milliseconds of `Date.now()`. */
  get retryAt() {
    return this.#connection.retryAt;
  }

  /** Listen to an event; `options` as for `addEventListener`. Returns a function that stops it. */
  on(type, listener, options) {
    const handle = (event) => listener(event.detail);
    this.addEventListener(type, handle, options);
    return () => this.removeEventListener(type, handle);
  }

  /**
   * Connect, and stay connected until `close()`; while waiting for the next attempt: try now.
   * Another `user` is accepted from now on: rooms are emptied, waiting messages are rejected.
   */
  connect({ user = this.#user } = {}) {
    if (user !== this.#user) this.#change(user);
    this.#connection.connect();
  }

  close() {
    this.#connection.close();
  }

  /** Be in a room, now and after every reconnect; settles with the `Room` once joined. */
  join(slug, { history = 50 } = {}) {
    let room = this.rooms.get(slug);
    if (!room) this.rooms.set(slug, (room = new Room(slug, history, this.#session)));
    return this.#enter(room.subscription);
  }

  leave(slug) {
    const room = this.rooms.get(slug);
    if (!room?.wanted) return;
    const error = new RealtimeError({ code: "left" });
    room.subscription.leave(error);
    this.#outbox.failAll(error, slug);
  }

  /** The topic of a name, which begins with `subscribe()`. */
  topic(name) {
    if (!this.topics.has(name)) this.topics.set(name, new Topic(name, this.#session));
    return this.topics.get(name);
  }

  /** Settles with the ack, over any number of reconnects; repeat a failed send with its own `nonce`. */
  send(slug, content, { data, nonce = makeNonce() } = {}) {
    const isClosed = this.state === "closed" || this.#connection.isAborted;
    return this.#outbox.add(isClosed, { room: slug, content, data, nonce });
  }

  /** Earlier messages (`before` a seq, default the first loaded one) or what came `after` a position. */
  history(slug, { before, after, limit = 50 } = {}) {
    const room = this.rooms.get(slug);
    if (after === undefined) before ??= room?.first;
    return this.request({ type: "history", room: slug, before, after, limit }, (reply) => {
      if (after === undefined) room?.prepend(reply, before);
    });
  }

  presence(slug) {
    return this.request({ type: "presence", room: slug });
  }

  typing(slug) {
    if (this.rooms.get(slug)?.joined) this.#connection.send({ type: "typing", room: slug });
  }

  signal(slug, data) {
    if (this.rooms.get(slug)?.joined) this.#connection.send({ type: "signal", room: slug, data });
  }

  /** Send any command; settles with its reply. Fails at once while there is no connection. */
  request(command, onReply = () => {}) {
    return new Promise((resolve, reject) => {
      if (this.state !== "open") return reject(new RealtimeError({ code: "offline" }));
      this.#connection.ask(command, (reply) => (onReply(reply), resolve(reply)), reject);
    });
  }

  // How the parts reach one another: a module imports none of the others, so that each is hashed by its own content.

  #makeConnection(options, clock) {
    return new Connection({ ...options, token: (how) => this.#token(how) }, clock, {
      receive: (frame, onReply) => this.#receive(frame, onReply),
      changed: (detail) => this.#changed(detail),
      dropped: () => this.#subscriptions().forEach((one) => one.detach()),
      tick: () => this.#outbox.repeat(),
      error: (fields) => new RealtimeError(fields),
    });
  }

  #makeSession(catchUp) {
    return {
      catchUp,
      rooms: this.rooms,
      ask: (...command) => this.#connection.ask(...command),
      after: (...timer) => this.#connection.after(...timer),
      emit: (type, detail) => this.#emit(type, detail),
      error: (fields) => new RealtimeError(fields),
      follow: (owner) => new Subscription(owner, this.#session),
      subscribe: (subscription) => this.#enter(subscription),
      request: (command) => this.request(command),
      rename: (topic, name) => (this.topics.get(name)?.subscription.wanted ? false : this.topics.set(name, topic)),
      entered: (room, isAnew) => this.#outbox.resume(room.slug, isAnew),
      refused: (room, error) => this.#refused(room, error),
    };
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  #changed(detail) {
    if (detail.state === "closed") this.#failAll(new RealtimeError({ code: "closed", message: detail.reason }));
    this.#emit("state", detail);
    if (this.state === "open") for (const one of this.#subscriptions()) one.enter();
  }

  #subscriptions() {
    return [...this.rooms.values(), ...new Set(this.topics.values())].map(({ subscription }) => subscription);
  }

  #enter(subscription) {
    const entered = subscription.want();
    if (this.state === "open") subscription.enter();
    if (this.#connection.isAborted) subscription.fail(new RealtimeError({ code: "closed" }));
    return entered;
  }

  #failAll(error) {
    this.#outbox.failAll(error);
    for (const one of this.#subscriptions()) one.fail(error);
  }

  #refused({ slug }, { code, message, retryAfter }) {
    this.leave(slug);
    this.rooms.delete(slug);
    this.#emit("refused", { room: slug, code, message, retryIn: retryAfter ?? null });
  }

  // Frames

  #receive(frame, onReply) {
    const room = this.rooms.get(frame.room);
    const topic = this.topics.get(frame.topic);
    switch (frame.type) {
      case "message":
        return room?.subscription.receive(frame, frame);
      case "changed":
        return room?.subscription.receive(frame, frame.message);
      case "event":
        return topic?.receive(frame);
      case "resync":
        return (room ?? topic)?.subscription.resync();
      case "removed":
        return (room ?? topic)?.subscription.remove(new RealtimeError(frame));
      case "room":
        if (room) this.#emit("rights", { room: Object.assign(room, { about: frame }) });
        return onReply?.(frame);
      case "welcome":
        return this.#welcome(frame);
      case "authenticated":
        if (!this.#authenticated(frame, onReply)) return;
        break;
      case "joined":
        topic?.see(frame);
        if (frame.through === undefined) room?.addMember(frame);
        break;
      case "left":
        topic?.see(frame);
        room?.removeMember(frame);
        break;
      case "presence":
        topic?.see(frame);
        room?.setMembers(frame);
    }
    onReply?.(frame);
    if (!onReply || frame.type === "authenticated" || frame.type === "presence") this.#emit(frame.type, frame);
  }

  #welcome(frame) {
    this.#learn(frame);
    const { name } = this.#options;
    const isNew = name && !this.#isNamed && isGuest(frame.user_id);
    if (!isNew && !this.#isExpected()) return;
    this.limits = frame.limits ?? {};
    this.#connection.startHeartbeat(frame.heartbeat);
    this.#emit("welcome", frame);
    if (!isNew) return this.#opened();
    const refused = ({ code, message }) => code !== "offline" && this.#connection.close(4500, message);
    this.#connection.ask({ type: "auth", name }, () => this.#isExpected() && this.#opened(), refused);
  }

  #opened() {
    this.#isNamed = true;
    this.#connection.opened();
  }

  // Whether the client goes on. With a reply, the page itself has asked to be this user.
  #authenticated(frame, onReply) {
    this.#learn(frame);
    if (this.state !== "open") return true;
    if (!onReply) return this.#isExpected();
    this.#adopt();
    return true;
  }

  // One user

  async #token({ reason }) {
    const { token: option } = this.#options;
    const token = await (typeof option === "function" ? option({ reason }) : option);
    if (reason !== "connect") return token;
    if (token) this.#isNamed = true;
    return token || this.#guestToken;
  }

  #learn({ user_id, username, guest_token }) {
    this.userId = user_id;
    this.username = username;
    if (guest_token) this.#guestToken = guest_token;
  }

  // Nothing is sent, and no room is joined, as any user but the one that the page was made for.
  #isExpected() {
    const [user, userId] = [this.#user, this.userId];
    if (!user || user === userId || (isGuest(user) && isGuest(userId))) {
      this.#adopt();
      return true;
    }
    this.#forget();
    this.#connection.close("identity_changed", "You are signed in as somebody else now.");
    return false;
  }

  #adopt() {
    if (this.#user && this.#user !== this.userId && this.#user !== "guest:") this.#forget();
    this.#user = this.userId;
  }

  #change(user) {
    this.#connection.reset();
    this.#forget();
    this.#user = user;
  }

  #forget() {
    this.#outbox.failAll(new RealtimeError({ code: "identity_changed" }));
    for (const topic of this.topics.values()) topic.forget();
    for (const room of this.rooms.values()) {
      room.forget();
      if (!room.wanted) this.rooms.delete(room.slug);
    }
  }
}
