/** A topic of the fake server. */

import { FakeLog } from "./log.js";

export class FakeTopic {
  #log = new FakeLog();
  #server;
  #answers = new Map(); // name of a command → (data) → data of its reply

  constructor(path, server) {
    this.path = path;
    this.#server = server;
  }

  /** The stored events and values, in order. */
  get entries() {
    return this.#log.entries;
  }

  /** Publish an event. Returns it. */
  event(name, data = {}, { id } = {}) {
    return this.#publish({ name, data, id });
  }

  /** Send an event that is not stored. */
  signal(name, data = {}) {
    this.#tell({ type: "event", name, data });
  }

  /** Set the value of a key. Returns its entry. */
  set(key, name, data = {}) {
    return this.#publish({ name, data, key });
  }

  /** Delete the value of a key. */
  delete(key) {
    const { name = "" } = this.entries.findLast((entry) => entry.key === key) ?? {};
    return this.#publish({ name, key, deleted: true });
  }

  /**
   * Answer calls of a command. `answer(data)` returns the data of the reply; an object that it throws,
   * such as `{ code, message, path }`, becomes the error.
   */
  answer(name, answer) {
    this.#answers.set(name, answer);
  }

  /** End the subscriptions of the clients. */
  remove({ code = "unknown_topic", message = "There is no such topic.", retry_after } = {}) {
    this.#tell({ type: "removed", code, message, retry_after });
    this.#server.expel("topic", this.path);
  }

  /** Lose all entries, as after the restore of a backup. */
  restart() {
    this.#log.restart();
    this.#tell({ type: "resync", seq: 0, epoch: this.#log.epoch });
    this.#server.expel("topic", this.path);
  }

  // Commands

  subscribed({ since, history = 0 }) {
    const missed = this.#log.since(since);
    const { epoch, through } = this.#log;
    const entries = missed ?? this.#snapshot(history);
    return { type: "subscribed", topic: this.path, through, epoch, recovered: Boolean(missed), entries, has_more: false };
  }

  called({ name, data = {} }) {
    const answer = this.#answers.get(name);
    if (!answer) return { type: "error", code: "unknown_type", message: `The topic ${this.path} has no command ${name}.` };
    try {
      return { type: "result", topic: this.path, name, data: answer(data) ?? {} };
    } catch (error) {
      if (!error?.code) throw error;
      return { type: "error", topic: this.path, code: error.code, message: error.message ?? error.code, path: error.path };
    }
  }

  history(command) {
    return { type: "history", topic: this.path, epoch: this.#log.epoch, ...this.#log.page(command) };
  }

  // The living values, and the newest events.
  #snapshot(history) {
    const latest = new Map(this.entries.filter(({ key }) => key !== undefined).map((entry) => [entry.key, entry]));
    const values = [...latest.values()].filter(({ deleted }) => !deleted);
    const events = this.entries.filter(({ key }) => key === undefined);
    return [...values, ...(history ? events.slice(-history) : [])].sort((a, b) => a.seq - b.seq);
  }

  #publish(fields) {
    const entry = this.#log.add({ ...fields, at: this.#server.time() });
    this.#tell({ type: "event", ...entry });
    return entry;
  }

  #tell(frame) {
    this.#server.send({ ...frame, topic: this.path }, "topic", this.path);
  }
}
