/** The fake server: rooms, topics and connections, driven by the test. */

import { answer, split } from "./answers.js";
import { FakeClock } from "./clock.js";
import { FakeConnection } from "./connection.js";
import { failure } from "./frames.js";
import { FakeRoom } from "./room.js";
import { FakeTopic } from "./topic.js";

const HEARTBEAT = 20;

/** @typedef {import("./connection.js").User} User */
/** @typedef {{ user?: User, limits?: Record<string, number> }} FakeServerOptions */

/**
 * Make a server whose `transport` and `clock` are options of a client.
 * Every room and topic exists, is empty, and may be entered.
 * `user` is how the server knows the client.
 * @param {FakeServerOptions} [options]
 */
export const fakeServer = (options) => new FakeServer(options);

export class FakeServer {
  clock = new FakeClock();
  /** Whether attempts to connect fail. */
  isDown = false;
  /**
   * The commands that arrived, in order, without those that test the connection.
   * @type {any[]}
   */
  commands = [];
  /**
   * Who the client is from its next connection on.
   * @type {User}
   */
  user;
  /**
   * The token that came with the latest attempt to connect.
   * @type {string | null | undefined}
   */
  token;
  /**
   * What a client opens its connections with.
   * @type {import("../transport.js").Transport}
   */
  transport;
  #limits;
  /** @type {Map<string, FakeRoom>} */
  #rooms = new Map();
  /** @type {Map<string, FakeTopic>} */
  #topics = new Map();
  /** @type {Set<FakeConnection>} */
  #connections = new Set();
  /** @type {{ type: string, error: object }[]} */
  #refusals = []; // of the next commands

  /** @param {FakeServerOptions} [options] */
  constructor({ user = { user_id: "1", username: "me" }, limits = {} } = {}) {
    this.user = user;
    this.#limits = limits;
    this.transport = { open: (target, receiver) => this.#open(target, receiver) };
  }

  /** @param {string} slug */
  room(slug) {
    return found(this.#rooms, slug, () => new FakeRoom(slug, this));
  }

  /** @param {string} path */
  topic(path) {
    return found(this.#topics, path, () => new FakeTopic(path, this));
  }

  /** How many connections are open. */
  get connections() {
    return this.#connections.size;
  }

  /** The time of day, as frames have it. */
  time() {
    return new Date(this.clock.wall() * 1000).toISOString();
  }

  /**
   * Refuse the next command of a type: `refuse("join", { code: "permission_denied" })`.
   * @param {string} type
   * @param {{ code: string, message?: string, retryable?: boolean, retry_after?: number, path?: string }} error
   */
  refuse(type, { code, message = code, ...fields }) {
    this.#refusals.push({ type, error: failure(code, message, fields) });
  }

  /** End all connections. The client comes back by itself, unless `code` is 4500 or more. */
  drop({ code = 1006, reason = "" } = {}) {
    for (const connection of [...this.#connections]) {
      this.#connections.delete(connection);
      connection.end(code, reason);
    }
  }

  /**
   * Tell all clients that the connection ends, and end it.
   * @param {{ code?: number, reason?: string, reconnect?: boolean, retry_after?: number }} [how]
   */
  disconnect({ code = 4001, reason = "The server restarts.", reconnect = code < 4500, retry_after } = {}) {
    this.send({ type: "disconnect", code, reason, reconnect, retry_after });
    this.drop({ code, reason });
  }

  /**
   * Send a frame to all clients, or to those in a room or topic.
   * @param {object} frame
   * @param {string} [kind]
   * @param {string} [name]
   */
  send(frame, kind, name = "") {
    for (const connection of [...this.#connections]) if (!kind || connection.isIn(kind, name)) connection.send(frame);
  }

  /**
   * Send all that `act` causes in one frame.
   * @param {() => void} act
   */
  together(act) {
    const connections = [...this.#connections];
    for (const connection of connections) connection.hold();
    act();
    for (const connection of connections) connection.release();
  }

  /**
   * Let the clients leave a room or topic, without telling them.
   * @param {string} kind
   * @param {string} name
   */
  expel(kind, name) {
    for (const connection of this.#connections) connection.leave(kind, name);
  }

  /** @type {import("../transport.js").Transport["open"]} */
  #open({ token, signal }, receiver) {
    const connection = new FakeConnection(receiver, this.user);
    const close = () => {
      this.#connections.delete(connection);
      connection.close();
    };
    signal.addEventListener("abort", close, { once: true });
    this.#connect(connection, token).catch((error) => connection.end(1006, error.message));
    return { name: "fake", bufferedAmount: 0, send: (text) => this.#receive(connection, text), close };
  }

  /** @param {FakeConnection} connection @param {() => Promise<string | null | undefined>} token */
  async #connect(connection, token) {
    this.token = await token();
    if (this.isDown) return connection.end(1006, "");
    if (!connection.isOpen) return;
    this.#connections.add(connection);
    const frame = { type: "welcome", connection: "fake.1", protocol: "realtime.v1", heartbeat: HEARTBEAT };
    connection.send({ ...frame, ...connection.user, limits: this.#limits, server_time: this.time() });
  }

  // Replies come after the task in which the client has sent its commands.
  /** @param {FakeConnection} connection @param {string} text */
  #receive(connection, text) {
    if (!connection.isOpen) return;
    connection.hold();
    for (const line of text.split("\n")) if (line) this.#execute(connection, JSON.parse(line));
    queueMicrotask(() => connection.release());
  }

  /** @param {FakeConnection} connection @param {any} command */
  #execute(connection, { ref, ...command }) {
    if (command.type !== "ping" && command.type !== "pong") this.commands.push(command);
    for (const one of split(command)) {
      const reply = this.#refusal(one) ?? answer(this, connection, one);
      if (reply) connection.send({ ...reply, ref });
    }
  }

  /** @param {any} command */
  #refusal({ type, room, topic }) {
    const at = this.#refusals.findIndex((one) => one.type === type);
    return at < 0 ? null : { room, topic, ...this.#refusals.splice(at, 1)[0].error };
  }
}

/**
 * @template T
 * @param {Map<string, T>} known
 * @param {string} name
 * @param {() => T} make
 * @returns {T}
 */
function found(known, name, make) {
  const one = known.get(name) ?? make();
  known.set(name, one);
  return one;
}
