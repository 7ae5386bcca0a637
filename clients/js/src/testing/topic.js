/** A topic of the fake server. */

import { failure } from "./frames.js";
import { FakeHandle } from "./handle.js";

export class FakeTopic extends FakeHandle {
  /** @type {Map<string, (data: any) => object | void>} */
  #answers = new Map(); // by the name of the command

  /**
   * @param {string} path
   * @param {import("./server.js").FakeServer} server
   */
  constructor(path, server) {
    super("topic", path, server, { code: "unknown_topic", message: "There is no such topic." });
    this.path = path;
  }

  /** The stored events and values, in order. */
  get entries() {
    return this._log.entries;
  }

  /**
   * Publish an event. Returns it.
   * @param {string} name
   * @param {object} data
   */
  event(name, data = {}) {
    return this.#publish({ name, data });
  }

  /**
   * Send an event that is not stored.
   * @param {string} name
   * @param {object} data
   */
  signal(name, data = {}) {
    this._tell({ type: "event", name, data });
  }

  /**
   * Set the value of a key. Returns its entry.
   * @param {string} key
   * @param {string} name
   * @param {object} data
   */
  set(key, name, data = {}) {
    return this.#publish({ name, data, key });
  }

  /**
   * Delete the value of a key.
   * @param {string} key
   */
  delete(key) {
    const { name = "" } = this.entries.findLast((entry) => entry.key === key) ?? {};
    return this.#publish({ name, key, deleted: true });
  }

  /**
   * Answer calls of a command. `answer(data)` returns the data of the reply; an object that it throws,
   * such as `{ code, message, path }`, becomes the error.
   * @param {string} name
   * @param {(data: any) => object | void} answer
   */
  answer(name, answer) {
    this.#answers.set(name, answer);
  }

  // Commands

  /** @param {{ since?: { seq: number, epoch: string }, history?: number }} command */
  subscribed({ since, history = 0 }) {
    const missed = this._log.since(since);
    const { epoch, through } = this._log;
    const entries = missed ?? this.#snapshot(history);
    return { type: "subscribed", topic: this.path, through, epoch, recovered: Boolean(missed), entries, has_more: false };
  }

  /** @param {{ name: string, data?: object }} command */
  called({ name, data = {} }) {
    const answer = this.#answers.get(name);
    if (!answer) return failure("unknown_type", `The topic ${this.path} has no command ${name}.`, { topic: this.path });
    try {
      return { type: "result", topic: this.path, name, data: answer(data) ?? {} };
    } catch (/** @type {any} */ error) {
      if (!error?.code) throw error;
      const { code, message = code, path } = error;
      return failure(code, message, { topic: this.path, path });
    }
  }

  /** @param {{ before?: number, after?: number, limit?: number }} command */
  history(command) {
    return { type: "history", topic: this.path, epoch: this._log.epoch, ...this._log.page(command) };
  }

  // The living values, and the newest events.
  /** @param {number} history */
  #snapshot(history) {
    const latest = new Map(this.entries.filter(({ key }) => key !== undefined).map((entry) => [entry.key, entry]));
    const values = [...latest.values()].filter(({ deleted }) => !deleted);
    const events = this.entries.filter(({ key }) => key === undefined);
    return [...values, ...(history ? events.slice(-history) : [])].sort((a, b) => a.seq - b.seq);
  }

  /** @param {object} fields */
  #publish(fields) {
    const entry = this._log.add({ ...fields, at: this._server.time() });
    this._tell({ type: "event", ...entry });
    return entry;
  }
}
