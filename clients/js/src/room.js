/** One room: its messages, its members and what this page sends. `subscription.js` follows its log. */

import { Handle } from "./handle.js";
import { Members } from "./members.js";
import { MessageLog } from "./messages.js";
import { positionOf } from "./position.js";

/** @import { About, Acknowledged, Holding, Member, Message, Page, Pending, RoomEvents, RoomSnapshot, Sending } from "./types.js" */

const HINT_BYTES = 65_536; // more than that is waiting: typing and signals are dropped

/**
 * A page listens to it and reads it, and only the client changes it.
 * @extends {Handle<RoomEvents, RoomSnapshot>}
 */
export class Room extends Handle {
  /**
   * What the server says about the room: `title`, `role`, `slow_seconds` and so on.
   * @type {About}
   */
  about = {};

  #log;
  #members = new Members(0);
  #history = 50;
  #read = 0;
  #joinedAt = 0; // the seq at the time of the join: later events are live

  /**
   * @param {string} slug
   * @param {import("./rooms.js").Rooms} rooms
   */
  constructor(slug, rooms) {
    super(rooms);
    this.slug = slug;
    this.#log = new MessageLog(rooms.keep);
  }

  /**
   * The loaded messages in the order of the room's log: a frozen array.
   * @returns {readonly Message[]}
   */
  get messages() {
    return this.#log.list;
  }

  /** Whether the server has older messages. */
  get hasMore() {
    return this.#log.hasMore;
  }

  /**
   * The users who are here, by `user_id`; empty if they are too many to list.
   * @returns {ReadonlyMap<string, Member>}
   */
  get members() {
    return this.#members.all;
  }

  /** @returns {number} */
  get count() {
    return this.#members.count;
  }

  /**
   * The messages of this page that have no ack yet, or have failed: a frozen array.
   * @returns {readonly Pending[]}
   */
  get pending() {
    return this.handles.outbox.of(this.slug);
  }

  get isUsed() {
    return super.isUsed || this.handles.outbox.has(this.slug);
  }

  /**
   * Return the loaded message of this id.
   * @param {number} id
   * @returns {Message | undefined}
   */
  message(id) {
    return this.#log.get(id);
  }

  /** Whether the user may `post`, `signal`, `moderate` or `manage` here; `about` has the rest. @param {string} right */
  may(right) {
    return Boolean(this.about.rights?.includes(right));
  }

  /**
   * Be in the room, now and after every reconnect: until the signal aborts, or without one until `leave`.
   * `linger`: leave so many seconds later. Settles with the room once joined.
   * @param {Holding} [options]
   * @returns {Promise<this>}
   */
  join({ history = this.#history, ...options } = {}) {
    this.#history = history;
    return this.subscription.hold(options);
  }

  /**
   * End the `join` without a signal; with `force` all of them. The last one leaves the room.
   * @param {{ force?: boolean }} [options]
   */
  leave(options) {
    this.subscription.leave(options);
  }

  /**
   * Settles with the ack, over any number of reconnects.
   * @param {string} content
   * @param {Sending} [options]
   * @returns {Promise<Acknowledged>}
   */
  send(content, options) {
    return this.handles.outbox.add(this.slug, content, options);
  }

  /**
   * Send a failed message again.
   * @param {string} nonce
   * @returns {Promise<Acknowledged> | undefined}
   */
  retry(nonce) {
    return this.handles.outbox.retry(nonce);
  }

  /**
   * Drop a message that has no ack. Returns its content.
   * @param {string} nonce
   * @returns {string | undefined}
   */
  discard(nonce) {
    return this.handles.outbox.discard(nonce);
  }

  /**
   * Load earlier messages (`before` a seq, default the first loaded one), or what came `after` a position.
   * @param {Page} [page]
   * @returns {Promise<{ messages: Message[], has_more: boolean, epoch: string, through?: number }>}
   */
  history({ after, before = after === undefined ? this.#log.first : undefined, ...options } = {}) {
    return this.page({ before, after, ...options }, (reply) => after === undefined && this.#prepend(reply, before));
  }

  /**
   * Forget all but the newest `keep` messages. Returns those that are gone.
   * @param {number} keep
   * @returns {Message[]}
   */
  trim(keep) {
    this.touch();
    return this.#log.trim(keep);
  }

  /** Tell the others that this user is typing. Like `signal`, it is dropped while the room is not live. */
  typing() {
    this.#hint({ type: "typing" });
  }

  /** @param {object} data */
  signal(data) {
    this.#hint({ type: "signal", data });
  }

  /**
   * Move the user's read mark forward, as soon as the room is live.
   * @param {number} seq
   */
  read(seq) {
    this.#read = Math.max(this.#read, seq);
    if (this.#hint({ type: "read", seq: this.#read })) this.#read = 0;
  }

  /**
   * Ask who is here.
   * @returns {Promise<{ members: Member[], count: number }>}
   */
  presence() {
    return this.host.request({ type: "presence", ...this.target });
  }

  #hint(command) {
    const { connection } = this.host;
    const isSent = this.state === "live" && connection.backlog < HINT_BYTES;
    if (isSent) connection.send({ ...command, ...this.target });
    return isSent;
  }

  // What the client calls

  /** Take a frame of this room. */
  receive(frame) {
    switch (frame.type) {
      case "message":
        return this.subscription.receive(frame, frame);
      case "changed":
        return this.subscription.receive(frame, frame.message);
      case "room":
        this.about = frame;
        break;
      case "joined":
        if (frame.through === undefined) this.#members.add(frame);
        break;
      case "left":
        this.#members.remove(frame);
        break;
      case "presence":
        this.#members.set(frame);
    }
    this.#tell(frame.type, frame);
  }

  /** Show what an earlier page has kept, until the join brings what followed. */
  restore({ messages, seq, epoch }) {
    if (this.position) return;
    this.#log.restart({ messages, has_more: true, through: seq });
    Object.assign(this.subscription, { position: seq, epoch, hasData: true });
    this.touch();
  }

  /** Drop all data of the last user. */
  forget() {
    this.subscription.forget();
    this.about = {};
    this.#log.clear();
    this.#members.set({});
    this.#read = 0;
    this.touch();
  }

  #prepend(reply, before) {
    if (reply.epoch !== this.subscription.epoch) return; // it is of another log than the loaded ones
    this.#log.prepend(reply, before);
    this.touch();
  }

  // For the page, on the room and on the client.
  #tell(type, detail) {
    this.touch();
    this.emit(type, detail);
    this.host.emit(type, detail);
  }

  // What the subscription and the stores call

  get kind() {
    return "room";
  }

  get target() {
    return { room: this.slug };
  }

  opening(since) {
    return { history: this.#history, since };
  }

  // More was missed than a resume brings: a repair reads it page by page, before anything newer.
  entered(reply, since) {
    const { subscription, handles: rooms } = this;
    const missed = since?.epoch === reply.epoch ? reply.through - subscription.position : null;
    const isGap = missed !== null && missed >= 0 && !reply.recovered && rooms.catchUp === "all";
    const isResumed = isGap || Boolean(since && reply.recovered);
    const isReset = !isResumed && subscription.position !== undefined;
    const isAnew = isReset && reply.epoch !== subscription.epoch;
    subscription.epoch = reply.epoch || null;
    this.about = reply;
    this.#joinedAt = reply.through;
    this.#members.set(reply);
    if (!isResumed) this.#restart(reply, isReset && { room: this.slug, missed });
    else if (!isGap) subscription.showAll(reply.messages, reply.through);
    if (!subscription.confirm(reply.through, isResumed)) return;
    rooms.outbox.resume(this.slug, isAnew);
    if (this.#read) this.read(this.#read);
  }

  show(message) {
    const type = this.#log.put(message);
    if (type) this.#tell(type, { room: this.slug, message, live: positionOf(message) > this.#joinedAt });
  }

  ended(error) {
    this.handles.outbox.failAll(error, this.slug);
  }

  refused(error) {
    this.forget();
    this.#tell("refused", { room: this.slug, error });
  }

  #restart(reply, reset) {
    this.#log.restart(reply);
    this.subscription.position = reply.through;
    if (reset) this.#tell("reset", reset);
    for (const message of reply.messages) if (this.isHeld) this.#tell("message", { room: this.slug, message, live: false });
  }
}
