/** A room of the fake server. */

import { FakeLog } from "./log.js";

const RIGHTS = ["post", "signal"];

export class FakeRoom {
  #log = new FakeLog();
  #server;
  #members = new Map(); // user_id → { user_id, username }
  #about = { role: "member", rights: RIGHTS, title: "" };

  constructor(slug, server) {
    this.slug = slug;
    this.#server = server;
    this.#about.title = slug;
  }

  /** The stored messages, in order. */
  get messages() {
    return this.#log.entries;
  }

  /** Store a message of another user, and send it to the clients in the room. Returns it. */
  message({ username = "ada", user_id = username, content = "", ...fields } = {}) {
    const created_at = this.#server.time();
    const message = this.#log.add({ id: this.#log.through + 1, user_id, username, content, created_at, ...fields });
    this.#tell({ type: "message", ...message });
    return message;
  }

  /** Change a message: `{ content }`, or `{ deleted: true }`. */
  change(id, fields) {
    const known = this.messages.find((message) => message.id === id);
    if (!known) throw new Error(`The room ${this.slug} has no message ${id}.`);
    const message = this.#log.replace(known, fields);
    if (message.deleted) delete message.content;
    this.#tell({ type: "changed", seq: message.changed_seq, message });
    return message;
  }

  /** Let another user enter. */
  enter({ username, user_id = username }) {
    this.#members.set(user_id, { user_id, username });
    this.#tell({ type: "joined", user_id, username });
  }

  /** Let another user leave. */
  exit({ username, user_id = username }) {
    this.#members.delete(user_id);
    this.#tell({ type: "left", user_id, username });
  }

  typing({ username, user_id = username }) {
    this.#tell({ type: "typing", user_id, username });
  }

  signal(data, { username, user_id = username } = {}) {
    this.#tell({ type: "signal", user_id, username, data });
  }

  /** Change what the room is like: `{ read_only: true }`, `{ rights: [] }`. */
  update(fields) {
    Object.assign(this.#about, fields);
    this.#tell({ type: "room", ...this.#about });
  }

  /** Put the clients out of the room. */
  remove({ code = "permission_denied", message = "You were removed.", retry_after } = {}) {
    this.#tell({ type: "removed", code, message, retry_after });
    this.#server.expel("room", this.slug);
  }

  /** Lose all messages, as after the restore of a backup. */
  restart() {
    this.#log.restart();
    this.#tell({ type: "resync", seq: 0, epoch: this.#log.epoch });
    this.#server.expel("room", this.slug);
  }

  // Commands

  joined({ since, history = 50 }, user) {
    const missed = this.#log.since(since);
    const { entries, has_more } = missed ? { entries: missed, has_more: false } : this.#log.newest(history);
    const { epoch, through } = this.#log;
    const members = [...this.#members.values(), user];
    const state = { through, epoch, recovered: Boolean(missed), messages: entries, has_more, members, count: members.length };
    return { type: "joined", room: this.slug, ...user, ...state, ...this.#about };
  }

  /** Store a message of the client, once for each nonce. */
  accept({ content, data, nonce }, user) {
    const known = nonce && this.messages.find((message) => message.nonce === nonce);
    const { seq, id, created_at } = known || this.message({ ...user, content, data, nonce });
    return { type: "ack", room: this.slug, seq, id, created_at, nonce };
  }

  history(command) {
    const { entries, ...page } = this.#log.page(command);
    return { type: "history", room: this.slug, messages: entries, epoch: this.#log.epoch, ...page };
  }

  presence(user) {
    const members = [...this.#members.values(), user];
    return { type: "presence", room: this.slug, members, count: members.length };
  }

  #tell(frame) {
    this.#server.send({ ...frame, room: this.slug }, "room", this.slug);
  }
}
