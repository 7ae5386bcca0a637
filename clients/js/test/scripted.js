/** A client in Node, and a server whose every frame is written by the test: no socket, and time passes when told. */

import { answers } from "../src/answers.js";
import { RealtimeClient } from "../src/client.js";
import { stores } from "../src/stores.js";

/** Let all promises settle. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A clock whose time passes only when the test says so. */
export class HandClock {
  time = 0; // seconds, of the monotonic clock
  set = 1_767_225_600; // seconds of the machine's clock when `time` was 0
  timers = new Set();

  now = () => this.time;
  wall = () => this.set + this.time;
  after = (seconds, act) => {
    const timer = { due: this.time + seconds, act };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  };

  /** Let so much time pass, and timers fire in their order. */
  async passes(seconds) {
    const end = this.time + seconds;
    for (;;) {
      await settled();
      const [next] = [...this.timers].filter(({ due }) => due <= end).sort((a, b) => a.due - b.due);
      if (!next) break;
      this.timers.delete(next);
      this.time = Math.max(this.time, next.due);
      next.act();
    }
    this.time = end;
    await settled();
  }

  /** Let so much time pass at once: timers fire late. */
  async jumps(seconds) {
    this.time += seconds;
    await this.passes(0);
  }

  /** An ISO time of the server. */
  moment(seconds = 0) {
    return new Date((this.set + seconds) * 1000).toISOString();
  }
}

/** One line that the client has opened, seen from its server. */
class Line {
  seen = []; // commands
  isClosed = false;
  token;
  name = "websocket";
  bufferedAmount = 0;
  #next = 0; // the first command that no test has expected yet

  constructor(target, receiver) {
    Object.assign(this, { target, receiver });
    target.signal.addEventListener("abort", () => (this.isClosed = true));
  }

  get types() {
    return this.seen.map(({ type }) => type);
  }

  /** Return the next command of a type. */
  async expect(type) {
    for (let turn = 0; turn < 20; turn++) {
      const at = this.seen.findIndex((command, index) => index >= this.#next && command.type === type);
      if (at >= 0) {
        this.#next = at + 1;
        return this.seen[at];
      }
      await settled();
    }
    throw new Error(`The client has not sent ${type}, but: ${JSON.stringify(this.seen.slice(this.#next))}`);
  }

  /** Send what stands in one frame. */
  async send(...frames) {
    await this.raw(frames.map((frame) => JSON.stringify(frame)).join("\n"));
  }

  async raw(text) {
    this.receiver.onFrame(text);
    await settled();
  }

  async welcome(user_id = "1", more = {}) {
    const fields = { connection: "c", user_id, username: user_id, heartbeat: 20 };
    await this.send({ type: "welcome", protocol: 1, limits: {}, ...fields, ...more });
  }

  /** Answer a `join`. */
  async joined(command, through = 0, more = {}) {
    const state = { messages: [], has_more: false, members: [], count: 1, rights: [], epoch: "e", recovered: false };
    await this.send({ type: "joined", room: command.room, ref: command.ref, ...state, through, ...more });
  }

  /** Answer a `subscribe`. */
  async subscribed(command, through, entries = [], more = {}) {
    const state = { epoch: "e", recovered: "since" in command, has_more: false, topic: command.topic };
    await this.send({ type: "subscribed", ref: command.ref, ...state, through, entries, ...more });
  }

  /** Refuse a command. */
  async refuse(command, code, more = {}) {
    const fields = { code, message: "No.", retryable: false, ref: command.ref, room: command.room, topic: command.topic };
    await this.send({ type: "error", ...fields, ...more });
  }

  async acknowledge(command, seq = 1) {
    const { room, nonce, ref } = command;
    await this.send({ type: "ack", ref, room, nonce, seq, id: seq, created_at: "" });
  }

  /** End the line as a server or a network does. */
  async close(code = 1001, reason = "") {
    if (!this.isClosed) this.receiver.onEnd(code, reason);
    await settled();
  }

  // The interface of a line

  take(text) {
    for (const line of text.split("\n")) this.seen.push(JSON.parse(line));
  }
}

const TOLD = ["state", "message", "changed", "refused", "reset", "error", "unknown", "room"];

/** A client with this server as its transport. */
export class Script {
  clock = new HandClock();
  lines = [];
  heard = []; // [type, gist, detail] of the events of the client
  settled = []; // [what, "ok" or code] of promises

  /** @param {object} [options] @param {any} [Client] that of another file */
  constructor(options = {}, Client = RealtimeClient) {
    const transport = { open: (target, receiver) => this.#open(target, receiver) };
    const addons = { stores: stores(), answers: answers() };
    this.client = new Client({ url: "ws://localhost/ws/", transport, clock: this.clock, ...addons, ...options });
    for (const type of TOLD)
      this.client.on(type, (detail) => {
        const { state, code, error, message, room } = detail;
        this.heard.push([type, state ?? code ?? error?.code ?? message?.content ?? room, detail]);
      });
  }

  /** The line that was opened last. */
  get line() {
    return this.lines.at(-1);
  }

  get room() {
    return this.client.room("general");
  }

  told(type) {
    return this.heard.filter(([kind]) => kind === type).map(([, gist]) => gist);
  }

  details(type) {
    return this.heard.filter(([kind]) => kind === type).map(([, , detail]) => detail);
  }

  /** Note what comes of a promise. */
  note(what, promise) {
    promise.then(
      () => this.settled.push([what, "ok"]),
      ({ code }) => this.settled.push([what, code]),
    );
  }

  /** Let the client connect. */
  async begin(options) {
    const count = this.lines.length;
    this.client.connect(options);
    await settled();
    if (this.lines.length === count) throw new Error("The client has not connected.");
    return this.line;
  }

  /** Let the client connect, and welcome it. */
  async connect(user_id = "1", more = {}) {
    const line = await this.begin();
    await line.welcome(user_id, more);
    return line;
  }

  /** Lose the line, and welcome the client on the next one. */
  async back(user_id = "1", more = {}) {
    await this.line.close();
    return this.connect(user_id, more);
  }

  /** Join the room `general`. */
  async enter(through = 0, more = {}) {
    this.note("join", this.room.join());
    await this.line.joined(await this.line.expect("join"), through, more);
  }

  send(content, options) {
    this.note(content, this.room.send(content, options));
    return settled();
  }

  #open(target, receiver) {
    const line = new Line(target, receiver);
    this.lines.push(line);
    this.#ask(line, target);
    return {
      name: line.name,
      send: (text) => line.isClosed || line.take(text),
      close: () => (line.isClosed = true),
      get bufferedAmount() {
        return line.bufferedAmount;
      },
    };
  }

  async #ask(line, { url, token, signal }) {
    try {
      line.url = String(await url());
      if (!signal.aborted) line.token = await token();
    } catch (error) {
      if (!signal.aborted) line.receiver.onEnd(1006, error.message);
    }
  }
}

/** The state of a message. */
export function message(seq, more = {}) {
  const text = { content: `m${seq}`, created_at: "2026-01-01T00:00:00.000Z" };
  return { seq, id: seq, user_id: "2", username: "2", ...text, ...more };
}

export const messages = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => message(from + at));
