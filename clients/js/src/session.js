/**
 * What the parts of a client share: its user, connection, rooms and topics, and what waits to be sent. It tells them
 * what the connection does: `Connection` calls it, and so do the transports around it (`Host` of transport.js).
 */

import { Connection } from "./connection.js";
import { Entrance } from "./entrance.js";
import { failure } from "./errors.js";
import { Frames } from "./frames.js";
import { Handles } from "./handles.js";
import { Identity } from "./identity.js";
import { Kept } from "./kept.js";
import { Outbox } from "./outbox.js";
import { request } from "./request.js";
import { Room } from "./room.js";
import { Topic } from "./topic.js";
import { websocket } from "./websocket.js";

/** Stands for the add-on `answers.js`, which the page has not loaded. */
const noAnswers = (connection) => ({
  ask: ({ ref }) => connection.send({ type: "answer", ref, code: "no_handler", message: "The page answers no questions." }),
  refused: () => false,
  dropped() {},
});

export class Session {
  /** @type {Record<string, number>} */
  limits = {}; // of the server
  /** @type {any} */
  status = { state: "idle", code: null, reason: "", retryIn: null, transport: null }; // the latest event `state`
  rooms = new Handles((slug) => new Room(slug, this));
  topics = new Handles((path) => new Topic(path, this));

  #frames = new Frames(this);
  #used = new Set(); // rooms and topics that are kept though the page may not refer to them
  #changed = new Set(); // rooms and topics, in this task

  /** `client` emits the events; `stores` are those of the add-on. */
  constructor(client, { clock, stores, options }) {
    const { queue = 500, keep = 2000, catchUp = "all", offline, heartbeat, signal, http, answers = noAnswers } = options;
    this.client = client;
    this.clock = clock;
    this.stores = stores;
    this.keep = keep;
    this.catchUp = catchUp;
    this.http = http;
    this.storage = offline;
    this.kept = new Kept(offline, this);
    this.identity = new Identity(options, () => this.forget());
    const token = (reason) => this.identity.token(reason);
    const url = (ending) => this.#address(options, ending);
    this.connection = new Connection({ transport: this.#transport(options), url, token, heartbeat, signal, clock }, this);
    this.answers = answers(this.connection, clock);
    this.entrance = new Entrance(this.connection, clock);
    this.outbox = new Outbox(queue, this);
    this.status.state = this.connection.state;
  }

  /** @returns {string | null} */
  get user() {
    return this.identity.pinned;
  }

  room(slug) {
    return this.rooms.get(slug);
  }

  handles() {
    return [...this.rooms, ...this.topics];
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

  /** Name a topic as the server does. Returns whether that name is free. */
  rename(topic, path) {
    const other = this.topics.find(path);
    if (other && other !== topic && other.isHeld) return false;
    return this.topics.set(path, topic);
  }

  /** Record that a room or topic has changed. Screens follow once for all changes of a frame. */
  touch(handle) {
    handle.touched();
    this.weigh(handle);
    if (!this.#changed.size) queueMicrotask(() => this.#tellChanges());
    this.#changed.add(handle);
  }

  /** Keep a handle from being collected as long as it is used. */
  weigh(handle) {
    if (handle.isUsed) this.#used.add(handle);
    else this.#used.delete(handle);
  }

  #tellChanges() {
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const handle of changed) {
      if (handle.kind === "room" && handle.isHeld) this.storage?.changed(handle);
      handle.emit("change");
    }
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
    if (!ending.aborted) await this.kept.open(found.origin + found.pathname);
    return found;
  }

  // What the connection calls

  receive(frame, onReply) {
    this.#frames.receive(frame, onReply);
  }

  moved(status) {
    if (status.state === "closed") this.#closed(failure("closed", "unknown", { message: status.reason }));
    this.kept.moved(status);
    this.status = status;
    this.client.touched();
    this.emit("state", status);
    if (status.state === "open" && this.connection.isOpen) for (const { subscription } of this.handles()) this.entrance.add(subscription);
  }

  dropped() {
    this.answers.dropped();
    this.entrance.dropped();
    for (const { subscription } of this.handles()) subscription.detach();
  }

  tick() {
    this.outbox.repeat();
  }

  /** Let go of what keeps the page from being restored. */
  suspended() {
    this.kept.close();
    this.outbox.close();
  }

  #closed(error) {
    this.outbox.failAll(error);
    this.suspended();
    this.stores?.close();
    for (const { subscription } of this.handles()) subscription.close(error);
  }

  /** Connect after `close()`: the signals of the holders count again. */
  reopen() {
    for (const { subscription } of this.handles()) subscription.reopen();
  }

  /** Drop all data of the last user. */
  forget() {
    this.outbox.forget(failure("identity_changed", "not_sent"));
    this.kept.close();
    for (const handle of this.handles()) handle.forget();
  }
}
