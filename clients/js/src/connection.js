/**
 * Keeps one WebSocket open: connects, pings a silent server and reconnects after growing waits.
 * What the frames mean for users and rooms is the concern of `client.js`.
 */

const SUBPROTOCOL = "realtime.v1.ndjson";
const TOKEN_PROTOCOL = "realtime.token.";
const CONNECT_SECONDS = 10;
const PONG_SECONDS = 6;
const WAKE_SECONDS = 3;
const HEARTBEAT_SECONDS = 22;
const LATE_SECONDS = 2;
const TICK_SECONDS = 5;
const STABLE_SECONDS = 5;
const RENEW_SECONDS = 5;
const BACKOFF = { least: 0.5, first: 1.5, growth: 1.5, most: 30 }; // seconds

// The states that may follow each state.
const MOVES = {
  idle: ["connecting", "closed"],
  connecting: ["open", "waiting", "closed", "idle"],
  open: ["waiting", "closed", "idle"],
  waiting: ["connecting", "closed", "idle"],
  closed: ["connecting"],
};

const schedule = (seconds, act) => setTimeout(act, seconds * 1000);
const escaped = (text) => encodeURIComponent(text).replace(/[()]/g, (mark) => (mark === "(" ? "%28" : "%29"));

export class Connection {
  state = "idle";

  #options;
  #clock;
  #client;
  #socket = null;
  #attempt = 0; // the number of the current attempt: a late answer to an earlier one is ignored
  #failures = 0; // in a row
  #retryAt = 0;
  #notBefore = 0;
  #heardAt = 0;
  #pingedAt = 0;
  #silence; // seconds without a frame after which the server is pinged
  #timers = {}; // by name; all of them end with the socket
  #ref = 0;
  #replies = new Map(); // ref → [on reply, on error]
  #listening = null; // ends the listeners on the browser and on the page's signal

  /**
   * `options`: url, token({ reason }), heartbeat, signal.
   * `client`: receive(frame, onReply), changed(state event), dropped(), tick(), error(fields).
   */
  constructor(options, clock, client) {
    this.#options = options;
    this.#clock = clock;
    this.#client = client;
    if (this.isAborted) this.state = "closed";
    else this.#watchSignal();
  }

  get isAborted() {
    return Boolean(this.#options.signal?.aborted);
  }

  /** When the next attempt is due, in milliseconds of `Date.now()`. */
  get retryAt() {
    return Date.now() + (this.#retryAt - this.#clock.now()) * 1000;
  }

  /** Connect now, and stay connected until `close()`. */
  connect() {
    if (this.state === "connecting" || this.state === "open" || this.isAborted) return;
    if (!this.#listening) this.#watchSignal();
    if (this.state !== "waiting") this.#watchBrowser();
    this.#start();
  }

  /** Close the socket and do not reconnect; `connect()` starts again. */
  close(code = 1000, reason = "closed", retryIn = null) {
    if (this.state === "closed") return;
    this.#stopListening();
    this.#drop();
    this.#become("closed", { code, reason, retryIn });
  }

  /** Drop the socket and become idle without an event. */
  reset() {
    this.#drop();
    this.#stopListening();
    if (this.state !== "idle" && this.state !== "closed") this.#move("idle");
  }

  /** Ping the server when it is silent; the attempt has succeeded, as it sent its `welcome`. */
  startHeartbeat(serverSeconds) {
    clearTimeout(this.#timers.deadline);
    this.#silence = Math.min(this.#options.heartbeat || HEARTBEAT_SECONDS, serverSeconds + LATE_SECONDS);
    this.#beat();
  }

  /** Become open, unless a listener has ended this connection in the meantime. */
  opened() {
    if (this.state !== "connecting" || !this.#socket) return;
    this.#timers.stable = schedule(STABLE_SECONDS, () => (this.#failures = 0));
    this.#become("open");
  }

  send(command) {
    this.#socket?.send(JSON.stringify(command));
  }

  /** Send a command with a `ref`. Callbacks run in the tick of the reply: the next line of its frame depends on them. */
  ask(command, onReply = () => {}, onError = () => {}) {
    const ref = ++this.#ref;
    this.#replies.set(ref, [onReply, onError]);
    this.send({ ...command, ref });
  }

  /** Call `act` after `seconds`, unless this socket has been dropped by then. */
  after(seconds, act) {
    const socket = this.#socket;
    schedule(seconds ?? 1, () => socket && socket === this.#socket && act());
  }

  // Open and reconnect

  async #start() {
    const attempt = ++this.#attempt;
    clearTimeout(this.#timers.retry);
    this.#timers.deadline = schedule(CONNECT_SECONDS, () => this.#lose({ code: 1006, reason: "timeout" }));
    this.#become("connecting");
    try {
      const address = await this.#address();
      const token = await this.#options.token({ reason: "connect" });
      if (attempt === this.#attempt) this.#open(address, token);
    } catch (error) {
      if (attempt === this.#attempt) this.#lose({ code: 1006, reason: String(error.message ?? error) });
    }
  }

  async #address() {
    const { url } = this.#options;
    const address = new URL(await (typeof url === "function" ? url() : url), globalThis.location?.href);
    address.protocol = address.protocol.replace("http", "ws");
    return address;
  }

  // The token goes into a header of the handshake, because proxies log addresses.
  #open(address, token) {
    const offered = token ? [SUBPROTOCOL, TOKEN_PROTOCOL + escaped(token)] : [SUBPROTOCOL];
    const socket = (this.#socket = new WebSocket(address, offered));
    socket.onclose = (event) => socket === this.#socket && this.#lose(event);
    socket.onmessage = ({ data }) => {
      this.#heardAt = this.#clock.now();
      for (const line of data.split("\n")) if (line && socket === this.#socket) this.#receive(JSON.parse(line));
    };
  }

  // From a close event, or from a `disconnect` frame, which may forbid the next attempt.
  #lose({ code, reason, reconnect, retry_after }) {
    if (reconnect === false || (code >= 4500 && code <= 4999)) return this.close(code, reason, retry_after);
    this.#drop();
    const wait = this.#backoff(retry_after);
    this.#retryAt = this.#clock.now() + wait;
    this.#timers.retry = schedule(wait, () => this.#start());
    this.#become("waiting", { code, reason, retryIn: wait });
  }

  #backoff(seconds) {
    const { least, first, growth, most } = BACKOFF;
    const ceiling = Math.min(most, first * growth ** this.#failures++);
    this.#notBefore = seconds ? this.#clock.now() + seconds : 0;
    return seconds ? seconds * (1 + Math.random()) : least + Math.random() * (ceiling - least);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    this.#attempt++;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    const replies = [...this.#replies.values()];
    this.#replies.clear();
    this.#client.dropped();
    for (const [, onError] of replies) onError(this.#client.error({ code: "offline", outcome: "unknown" }));
    socket?.close();
  }

  #move(state) {
    if (!MOVES[this.state].includes(state)) throw new Error(`A connection that is ${this.state} cannot become ${state}.`);
    this.state = state;
  }

  #become(state, detail) {
    this.#move(state);
    this.#client.changed({ state, code: null, reason: "", retryIn: null, ...detail });
  }

  // Frames that concern the connection alone

  #receive(frame) {
    if (frame.server_time) this.#clock.synchronize(frame.server_time);
    const [onReply, onError] = this.#replies.get(frame.ref) ?? [];
    this.#replies.delete(frame.ref);
    if (frame.type === "ping") return this.send({ type: "pong", t: frame.t });
    if (frame.type === "disconnect") return this.#lose(frame);
    if (frame.type === "error" && frame.code === "token_expired") this.#renew();
    if (frame.type === "error" && onError) return onError(this.#client.error(frame));
    if (frame.type === "resync" && onError) onError(this.#client.error({ code: "resync" }));
    this.#client.receive(frame, onReply);
  }

  // A token that comes after its connection has ended is not for the next one.
  async #renew() {
    const socket = this.#socket;
    const isCurrent = () => socket && socket === this.#socket;
    try {
      const token = await this.#options.token({ reason: "expiring" });
      if (token && isCurrent()) this.send({ type: "auth", token });
    } catch {
      if (isCurrent()) this.#timers.renew = schedule(RENEW_SECONDS, () => this.#renew());
    }
  }

  // Heartbeat: the server pings silent clients (timers of hidden pages are slow), and this pings a silent server.

  #beat() {
    const silent = this.#clock.now() - this.#heardAt;
    if (this.#clock.hasJumped()) this.#ping(WAKE_SECONDS);
    else if (silent >= this.#silence) this.#ping();
    this.#client.tick();
    this.#timers.beat = schedule(Math.min(TICK_SECONDS, this.#silence - (silent % this.#silence)), () => this.#beat());
  }

  #ping(seconds = PONG_SECONDS, isLast = false) {
    if (this.#pingedAt > this.#heardAt && !isLast) return;
    const at = (this.#pingedAt = this.#clock.now());
    this.#timers.deadline = schedule(seconds, () => this.#heardAt < at && this.#unanswered(at + seconds, isLast));
    this.send({ type: "ping" });
  }

  // A timer that is late fires before the page reads what the server sent while the page was suspended.
  #unanswered(due, isLast) {
    if (this.#clock.now() - due < TICK_SECONDS || isLast) this.#lose({ code: 1006, reason: "timeout" });
    else this.#ping(WAKE_SECONDS, true);
  }

  // The browser

  #watchSignal() {
    this.#listening = new AbortController();
    this.#options.signal?.addEventListener("abort", () => this.close(), { signal: this.#listening.signal });
  }

  #watchBrowser() {
    const { signal } = this.#listening;
    const { document: page } = globalThis;
    const lose = () => this.#socket && this.#lose({ code: 1006, reason: "offline" });
    globalThis.addEventListener?.("online", () => this.#wake(), { signal });
    globalThis.addEventListener?.("offline", lose, { signal });
    page?.addEventListener("visibilitychange", () => page.hidden || this.#wake(), { signal });
  }

  #wake() {
    if (this.state === "open") this.#ping();
    else if (this.state === "waiting" && this.#clock.now() >= this.#notBefore) this.#start();
  }

  #stopListening() {
    this.#listening?.abort();
    this.#listening = null;
  }
}
