/**
 * One live line to a realtime server (protocol v1): it reconnects, resumes every room from its
 * position and repeats what was not acknowledged. docs/client.md
 */

import { Clock, now } from "./clock.js?d0fbf995";
import { Outbox } from "./outbox.js?26fc87ab";
import { RealtimeError, Room, makeNonce, revision } from "./room.js?bd8a21be";

export { RealtimeError, Room, makeNonce };

const SUBPROTOCOL = "realtime.v1.ndjson";
const TOKEN_PROTOCOL = "realtime.token.";
const CONNECT_SECONDS = 10;
const PONG_SECONDS = 6;
const LATE_SECONDS = 2;
const STABLE_SECONDS = 5;
const BACKOFF = { least: 0.5, first: 1.5, growth: 1.5, most: 30 }; // seconds
const RENEW_SECONDS = 5;
const TICK_SECONDS = 5;
const WAKE_SECONDS = 3;

const after = (seconds, act) => setTimeout(act, seconds * 1000);
const escaped = (text) => encodeURIComponent(text).replace(/[()]/g, (mark) => (mark === "(" ? "%28" : "%29"));
const asked = (option, how) => (typeof option === "function" ? option(how) : option);
const isGuest = (userId) => userId.startsWith("guest:");

export class RealtimeClient extends EventTarget {
  state = "idle";
  rooms = new Map();
  userId = null;
  username = null;
  limits = {};

  #options;
  #socket = null;
  #turn = 0; // of the attempt to connect; a late answer to an earlier one is ignored
  #attempt = 0;
  #clock = new Clock();
  #retryAt = 0;
  #notBefore = 0;
  #goodbye = null;
  #heard = 0;
  #asked;
  #timers = {};
  #pause;
  #ref = 0;
  #replies = new Map(); // ref → [on reply, on error]
  #outbox;
  #guestToken = null;
  #pin; // the only identity that this client may be
  #named = false;
  #life = null;

  /**
   * `url` and `token` may be values or (async) functions, asked on each attempt. `user` is the user_id
   * that the page was made for (`guest:` for any guest); without it the first `welcome` decides. `name`
   * is what a new guest is called. `heartbeat` in silent seconds; `queue` bounds the messages without an ack.
   * `catchUp`: tell of `all` that was missed, or of the `newest` only (event `reset`).
   */
  constructor({ url = "/ws/", token = null, user = null, name = null, heartbeat, queue = 500, signal = null, catchUp = "all" } = {}) {
    super();
    this.#options = { url, token, name, heartbeat, signal, catchUp };
    this.#outbox = new Outbox(queue, this.#clock, {
      rooms: this.rooms,
      ask: (...command) => this.#ask(...command),
      enter: (room) => this.#enter(room),
      later: (...wait) => this.#later(...wait),
      told: (detail) => this.#emit("held", detail),
      error: (fields) => new RealtimeError(fields),
    });
    this.#pin = user;
    if (signal?.aborted) this.state = "closed";
    else this.#watchSignal();
  }

  /** When the next attempt is due, in milliseconds of `Date.now()`. */
  get retryAt() {
    return Date.now() + (this.#retryAt - now()) * 1000;
  }

  /** Listen; `options` as for `addEventListener` (`signal`, `once`). Returns what ends it. */
  on(type, listener, options) {
    const handle = (event) => listener(event.detail);
    this.addEventListener(type, handle, options);
    return () => this.removeEventListener(type, handle);
  }

  /**
   * Connect, and stay connected until `close()`; while waiting for the next attempt: try now.
   * Another `user` is accepted from now on: rooms are emptied, waiting messages are rejected.
   */
  connect({ user = this.#pin } = {}) {
    if (user !== this.#pin) this.#change(user);
    if (this.state === "connecting" || this.state === "open" || this.#options.signal?.aborted) return;
    if (!this.#life) this.#watchSignal();
    if (this.state === "idle" || this.state === "closed") this.#watchBrowser();
    this.#dial();
  }

  close() {
    if (this.state !== "closed") this.#end(1000, "closed");
  }

  /** Be in a room, now and after every reconnect; settles with the `Room` once joined. */
  join(slug, { history = 50 } = {}) {
    let room = this.rooms.get(slug);
    if (!room) this.rooms.set(slug, (room = new Room(slug, history)));
    room.wanted = true;
    if (this.state === "open" && !room.joined) this.#enter(room);
    const { promise } = room.ready;
    if (this.#options.signal?.aborted) room.miss(new RealtimeError({ code: "closed" }));
    return promise;
  }

  leave(slug) {
    const room = this.rooms.get(slug);
    if (!room?.wanted) return;
    if (room.joined) this.#ask({ type: "leave", room: slug });
    room.wanted = false;
    room.lineLost();
    const error = new RealtimeError({ code: "left" });
    room.miss(error);
    this.#outbox.failAll(error, slug);
  }

  /** Settles with the ack, over any number of reconnects; repeat a failed send with its own `nonce`. */
  send(slug, content, { data, nonce = makeNonce() } = {}) {
    const isClosed = this.state === "closed" || this.#options.signal?.aborted;
    return this.#outbox.add(isClosed, { room: slug, content, data, nonce });
  }

  /** Earlier messages (`before` a seq, default the first loaded one) or what came `after` a position. */
  history(slug, { before, after, limit = 50 } = {}) {
    const room = this.rooms.get(slug);
    if (after === undefined) before ??= room?.first;
    return this.request({ type: "history", room: slug, before, after, limit }, (reply) => {
      if (after === undefined && reply.epoch === room?.epoch) room.prepend(reply, before);
    });
  }

  presence(slug) {
    return this.request({ type: "presence", room: slug });
  }

  typing(slug) {
    if (this.rooms.get(slug)?.joined) this.#transmit({ type: "typing", room: slug });
  }

  signal(slug, data) {
    if (this.rooms.get(slug)?.joined) this.#transmit({ type: "signal", room: slug, data });
  }

  /** Send any command; settles with its reply. Fails at once while there is no connection. */
  request(command, take = () => {}) {
    return new Promise((resolve, reject) => {
      if (this.state !== "open") return reject(new RealtimeError({ code: "offline" }));
      this.#ask(command, (reply) => (take(reply), resolve(reply)), reject);
    });
  }

  // The line

  async #dial() {
    const turn = ++this.#turn;
    clearTimeout(this.#timers.retry);
    this.#timers.deadline = after(CONNECT_SECONDS, () => this.#lost(1006, "timeout"));
    this.#become("connecting");
    try {
      const [address, token] = await this.#address();
      if (turn === this.#turn) this.#open(address, token);
    } catch (error) {
      if (turn === this.#turn) this.#lost(1006, String(error.message ?? error));
    }
  }

  async #address() {
    const { url, token } = this.#options;
    const address = new URL(await asked(url), globalThis.location?.href);
    address.protocol = address.protocol.replace("http", "ws");
    const given = await asked(token, { reason: "connect" });
    if (given) this.#named = true; // a guest who was here before keeps the name
    return [address, given || this.#guestToken];
  }

  // A token that comes after its connection has ended is not for the next one.
  async #renew() {
    const socket = this.#socket;
    const isOver = () => !socket || socket !== this.#socket;
    try {
      const token = await asked(this.#options.token, { reason: "expiring" });
      if (token && !isOver()) this.#transmit({ type: "auth", token });
    } catch {
      if (!isOver()) this.#timers.renew = after(RENEW_SECONDS, () => this.#renew());
    }
  }

  // The token goes into a header of the handshake: addresses end up in the logs of proxies.
  #open(address, token) {
    const offered = token ? [SUBPROTOCOL, TOKEN_PROTOCOL + escaped(token)] : [SUBPROTOCOL];
    const socket = (this.#socket = new WebSocket(address, offered));
    socket.onclose = ({ code, reason }) => socket === this.#socket && this.#lost(code, reason);
    socket.onmessage = ({ data }) => {
      this.#heard = now();
      for (const line of data.split("\n")) if (line && socket === this.#socket) this.#take(JSON.parse(line));
    };
  }

  #lost(code, reason) {
    const goodbye = this.#goodbye;
    this.#hangUp();
    if (goodbye) ({ code, reason } = goodbye);
    if (goodbye?.reconnect === false || (code >= 4500 && code <= 4999)) return this.#end(code, reason, goodbye?.retry_after);
    const wait = this.#backoff(goodbye?.retry_after);
    this.#retryAt = now() + wait;
    this.#timers.retry = after(wait, () => this.#dial());
    this.#become("waiting", { code, reason, retryIn: wait });
  }

  #backoff(asked) {
    const { least, first, growth, most } = BACKOFF;
    const ceiling = Math.min(most, first * growth ** this.#attempt++);
    this.#notBefore = asked ? now() + asked : 0;
    return asked ? asked * (1 + Math.random()) : least + Math.random() * (ceiling - least);
  }

  #end(code, reason, retryIn = null) {
    this.#life?.abort();
    this.#life = null;
    this.#hangUp();
    const error = new RealtimeError({ code: "closed", message: reason });
    this.#outbox.failAll(error);
    for (const room of this.rooms.values()) room.miss(error);
    this.#become("closed", { code, reason, retryIn });
  }

  #hangUp() {
    const socket = this.#socket;
    this.#socket = this.#goodbye = null;
    this.#turn++;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    const replies = [...this.#replies.values()];
    this.#replies.clear();
    for (const room of this.rooms.values()) room.lineLost();
    for (const [, fail] of replies) fail(new RealtimeError({ code: "offline" }));
    socket?.close();
  }

  #become(state, detail = {}) {
    this.state = state;
    this.#emit("state", { state, code: null, reason: "", retryIn: null, ...detail });
  }

  #watchSignal() {
    this.#life = new AbortController();
    this.#options.signal?.addEventListener("abort", () => this.close(), { signal: this.#life.signal });
  }

  #watchBrowser() {
    const { signal } = this.#life;
    const wake = () => {
      if (this.state === "open") this.#probe();
      else if (this.state === "waiting" && now() >= this.#notBefore) this.#dial();
    };
    const { document: page } = globalThis;
    globalThis.addEventListener?.("online", wake, { signal });
    globalThis.addEventListener?.("offline", () => this.#socket && this.#lost(1006, "offline"), { signal });
    page?.addEventListener("visibilitychange", () => page.hidden || wake(), { signal });
  }

  // The server asks the silent (timers of hidden pages are slow); this asks a silent server.
  #beat() {
    const silent = now() - this.#heard;
    if (this.#clock.hasJumped()) this.#probe(WAKE_SECONDS);
    else if (silent >= this.#pause) this.#probe();
    this.#outbox.repeat();
    this.#timers.beat = after(Math.min(TICK_SECONDS, this.#pause - (silent % this.#pause)), () => this.#beat());
  }

  #probe(patience = PONG_SECONDS, isLast = false) {
    if (this.#asked > this.#heard && !isLast) return;
    const asked = (this.#asked = now());
    this.#timers.deadline = after(patience, () => this.#heard < asked && this.#missed(asked + patience, isLast));
    this.#transmit({ type: "ping" });
  }

  // An alarm that is late comes before what the server has sent to a page that stood still.
  #missed(due, isLast) {
    if (now() - due < TICK_SECONDS || isLast) this.#lost(1006, "timeout");
    else this.#probe(WAKE_SECONDS, true);
  }

  #transmit(command) {
    this.#socket?.send(JSON.stringify(command));
  }

  // Replies are taken in the same tick as the frame: the next line of the frame stands on them.
  #ask(command, onReply = () => {}, onError = () => {}) {
    const ref = ++this.#ref;
    this.#replies.set(ref, [onReply, onError]);
    this.#transmit({ ...command, ref });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // What the server says

  #take(frame) {
    if (frame.server_time) this.#clock.hear(frame.server_time);
    const [onReply, onError] = this.#replies.get(frame.ref) ?? [];
    this.#replies.delete(frame.ref);
    const room = this.rooms.get(frame.room);
    switch (frame.type) {
      case "error":
        if (frame.code === "token_expired") this.#renew();
        return onError ? onError(new RealtimeError(frame)) : this.#emit("error", frame);
      case "message":
        return this.#event(room, frame, frame);
      case "changed":
        return this.#event(room, frame, frame.message);
      case "resync":
        return room && this.#reenter(room);
      case "removed":
        room?.lineLost();
        return room && this.#barred(room, new RealtimeError(frame));
      case "room":
        if (room) this.#emit("rights", { room: Object.assign(room, { about: frame }) });
        return onReply?.(frame);
      case "disconnect":
        this.#goodbye = frame;
        return this.#lost(frame.code, frame.reason);
      case "welcome":
        this.#meet(frame);
        return this.#welcome(frame);
      case "authenticated":
        this.#meet(frame);
        if (this.state !== "open") break;
        if (onReply) this.#adopt(); // the page asked to be somebody else
        else if (!this.#isExpected()) return;
        break;
      case "joined":
        if (frame.through === undefined && room) this.#arrived(room, frame);
        break;
      case "left":
        if (room?.members.delete(frame.user_id)) room.count--;
        break;
      case "presence":
        room?.meet(frame);
        break;
      case "ping":
        return this.#transmit({ type: "pong", t: frame.t });
    }
    onReply?.(frame);
    if (!onReply || frame.type === "authenticated" || frame.type === "presence") this.#emit(frame.type, frame);
  }

  #meet({ user_id, username, guest_token }) {
    this.userId = user_id;
    this.username = username;
    if (guest_token) this.#guestToken = guest_token;
  }

  // Nothing is sent, and no room is joined, as anybody but whom the page was made for.
  #isExpected() {
    const [pin, userId] = [this.#pin, this.userId];
    if (!pin || pin === userId || (isGuest(pin) && isGuest(userId))) {
      this.#adopt();
      return true;
    }
    this.#forget();
    this.#end("identity_changed", "You are signed in as somebody else now.");
    return false;
  }

  #adopt() {
    if (this.#pin && this.#pin !== this.userId && this.#pin !== "guest:") this.#forget();
    this.#pin = this.userId;
  }

  #change(user) {
    this.#hangUp();
    this.#life?.abort();
    this.#life = null;
    this.#forget();
    this.#pin = user;
    if (this.state !== "closed") this.state = "idle";
  }

  #forget() {
    this.#outbox.failAll(new RealtimeError({ code: "identity_changed" }));
    for (const room of this.rooms.values()) {
      room.forget();
      if (!room.wanted) this.rooms.delete(room.slug);
    }
  }

  #welcome(frame) {
    const { name, heartbeat } = this.#options;
    const isNew = name && !this.#named && isGuest(frame.user_id);
    if (!isNew && !this.#isExpected()) return;
    clearTimeout(this.#timers.deadline);
    this.limits = frame.limits ?? {};
    this.#pause = Math.min(heartbeat || 22, frame.heartbeat + LATE_SECONDS);
    this.#beat();
    this.#emit("welcome", frame);
    if (!isNew) return this.#ready();
    const refused = ({ code, message }) => code !== "offline" && this.#end(4500, message);
    this.#ask({ type: "auth", name }, () => this.#isExpected() && this.#ready(), refused);
  }

  #ready() {
    this.#named = true;
    this.#timers.stable = after(STABLE_SECONDS, () => (this.#attempt = 0));
    this.#become("open");
    for (const room of this.rooms.values()) if (room.wanted && !room.joined) this.#enter(room);
  }

  // Rooms

  #enter(room) {
    const since = room.epoch ? { seq: room.position, epoch: room.epoch } : undefined;
    this.#ask(
      { type: "join", room: room.slug, history: room.history, since },
      (reply) => room.wanted && this.#entered(room, reply, since),
      (error) => this.#barred(room, error),
    );
  }

  // More was missed than a resume brings: a repair reads it page by page, before anything newer.
  #entered(room, reply, since) {
    const missed = reply.through - room.position;
    const isGap = since?.epoch === reply.epoch && !reply.recovered && missed >= 0 && this.#options.catchUp === "all";
    const resumed = isGap || Boolean(since && reply.recovered);
    const isReset = !resumed && room.position !== undefined;
    if (!resumed) room.restart(reply);
    Object.assign(room, { joined: true, repairing: false, epoch: reply.epoch, about: reply, old: reply.through });
    if (!isGap) room.position = reply.through;
    room.meet(reply);
    if (resumed && !isGap) for (const state of reply.messages) this.#show(room, state);
    this.#emit("room", { room, resumed });
    if (isReset) this.#emit("reset", { room: room.slug, missed: since?.epoch === reply.epoch ? missed : null });
    room.ready.resolve(room);
    room.target = Math.max(room.target, reply.through);
    if (isGap) this.#repair(room);
    this.#outbox.flush();
  }

  #barred(room, error) {
    if (error.code === "offline" || !room.wanted) return;
    if (error.retryable) return this.#later(room, error.retryAfter, () => this.#enter(room));
    room.miss(error);
    this.leave(room.slug);
    this.rooms.delete(room.slug);
    this.#emit("refused", { room: room.slug, code: error.code, message: error.message, retryIn: error.retryAfter ?? null });
  }

  #reenter(room) {
    room.epoch = null;
    room.lineLost();
    if (room.wanted) this.#enter(room);
  }

  #event(room, { seq, from = seq }, state) {
    if (!room?.joined || seq <= room.position) return;
    room.target = Math.max(room.target, seq);
    if (room.repairing) return; // the repair goes on until it has reached the target
    if (from > room.position + 1) return this.#repair(room);
    room.position = seq;
    this.#show(room, state);
  }

  #show(room, message) {
    const type = room.take(message);
    if (type) this.#emit(type, { room: room.slug, message, live: revision(message) > room.old });
  }

  #repair(room) {
    const start = room.position;
    room.repairing = true;
    this.#ask(
      { type: "history", room: room.slug, after: start, limit: 100 },
      (reply) => {
        if (reply.epoch !== room.epoch) return this.#reenter(room);
        for (const state of reply.messages) this.#show(room, state);
        room.position = Math.max(start, reply.through);
        room.repairing = room.position < room.target;
        if (room.repairing && room.position > start) this.#repair(room);
        else if (room.repairing) this.#later(room, 1, () => this.#repair(room));
      },
      ({ code, retryable, retryAfter }) => {
        const again = () => (retryable ? this.#repair(room) : this.#enter(room));
        if (code !== "offline") this.#later(room, retryAfter, again);
      },
    );
  }

  #later(room, seconds, act) {
    const socket = this.#socket;
    after(seconds ?? 1, () => socket && socket === this.#socket && room.wanted && act());
  }

  #arrived(room, { user_id, username }) {
    if (!room.members.has(user_id)) room.count++;
    room.members.set(user_id, { user_id, username, connections: 1 });
  }
}
