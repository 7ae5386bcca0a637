/** A room of the fake server. */

import { FakeHandle } from "./handle.js";

/** @typedef {import("./connection.js").User} User */
/** @typedef {{ username: string, user_id?: string }} Someone without `user_id`, the name is the id */
/** @typedef {{ seq: number, epoch: string }} Position */

const RIGHTS = ["post", "signal"];

/** @param {Someone} someone @returns {User} */
const asUser = ({ username, user_id = username }) => ({ user_id, username });

export class FakeRoom extends FakeHandle {
  /** @type {Map<string, User>} */
  #members = new Map();
  #about = { role: "member", rights: RIGHTS, title: "" };

  /**
   * @param {string} slug
   * @param {import("./server.js").FakeServer} server
   */
  constructor(slug, server) {
    super("room", slug, server, { code: "permission_denied", message: "You were removed." });
    this.slug = slug;
    this.#about.title = slug;
  }

  /** The stored messages, in order. */
  get messages() {
    return this._log.entries;
  }

  /**
   * Store a message of another user, and send it to the clients in the room. Returns it.
   * @param {{ content?: string, username?: string, user_id?: string, data?: object, nonce?: string }} [message]
   */
  message({ username = "ada", user_id, content = "", ...fields } = {}) {
    const sender = asUser({ username, user_id });
    const created_at = this._server.time();
    const message = this._log.add({ id: this._log.through + 1, ...sender, content, created_at, ...fields });
    this._tell({ type: "message", ...message });
    return message;
  }

  /**
   * Change a message, or delete it (`{ deleted: true }`).
   * @param {number} id
   * @param {{ content?: string, data?: object, deleted?: boolean }} fields
   */
  change(id, fields) {
    const known = this.messages.find((message) => message.id === id);
    if (!known) throw new Error(`The room ${this.slug} has no message ${id}.`);
    const message = this._log.replace(known, fields);
    if (message.deleted) delete message.content;
    this._tell({ type: "changed", seq: message.changed_seq, message });
    return message;
  }

  /** Let another user enter. @param {Someone} someone */
  enter(someone) {
    const user = asUser(someone);
    this.#members.set(user.user_id, user);
    this._tell({ type: "joined", ...user });
  }

  /** Let another user leave. @param {Someone} someone */
  exit(someone) {
    const user = asUser(someone);
    this.#members.delete(user.user_id);
    this._tell({ type: "left", ...user });
  }

  /** @param {Someone} someone */
  typing(someone) {
    this._tell({ type: "typing", ...asUser(someone) });
  }

  /** @param {object} data @param {Someone} [someone] */
  signal(data, someone) {
    this._tell({ type: "signal", ...(someone && asUser(someone)), data });
  }

  /**
   * Change what the room is like: `{ read_only: true }`, `{ rights: [] }`.
   * @param {object} fields
   */
  update(fields) {
    Object.assign(this.#about, fields);
    this._tell({ type: "room", ...this.#about });
  }

  // Commands

  /** @param {{ since?: Position, history?: number }} command @param {User} user */
  joined({ since, history = 50 }, user) {
    const missed = this._log.since(since);
    const { entries, has_more } = missed ? { entries: missed, has_more: false } : this._log.newest(history);
    const { epoch, through } = this._log;
    const members = [...this.#members.values(), user];
    const state = { through, epoch, recovered: Boolean(missed), messages: entries, has_more, members, count: members.length };
    return { type: "joined", room: this.slug, ...user, ...state, ...this.#about };
  }

  /**
   * Store a message of the client, once for each nonce.
   * @param {{ content: string, data?: object, nonce?: string }} command
   * @param {User} user
   */
  accept({ content, data, nonce }, user) {
    const known = nonce && this.messages.find((message) => message.nonce === nonce);
    const { seq, id, created_at } = known || this.message({ ...user, content, data, nonce });
    return { type: "ack", room: this.slug, seq, id, created_at, nonce };
  }

  /** @param {{ before?: number, after?: number, limit?: number }} command */
  history(command) {
    const { entries, ...page } = this._log.page(command);
    return { type: "history", room: this.slug, messages: entries, epoch: this._log.epoch, ...page };
  }

  /** @param {User} user */
  presence(user) {
    const members = [...this.#members.values(), user];
    return { type: "presence", room: this.slug, members, count: members.length };
  }
}
