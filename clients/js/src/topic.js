/** One topic: the handlers of its events, and the values of its keys. `subscription.js` follows its log. */

import { failure } from "./errors.js";
import { Handle } from "./handle.js";
import { Members } from "./members.js";

const OWN_KEYS = "realtime:"; // how the keys begin that the package sets itself

/** @import { AnyTopic, CommandArguments, CommandReply, DataOf, Entry, Member, Page, Subscribing, TopicEvents, TopicSnapshot, TopicTypes } from "./types.js" */

/**
 * A page listens to it and reads it, and only the client changes it.
 * @template {TopicTypes} [T=AnyTopic]
 * @extends {Handle<TopicEvents<T>, TopicSnapshot<T>>}
 */
export class Topic extends Handle {
  /**
   * The latest value of each key.
   * @type {Map<string, DataOf<T>>}
   */
  values = new Map();
  /**
   * Contains `presence` if the client may see who is subscribed.
   * @type {string[]}
   */
  rights = [];

  #members = new Members(null);
  /** @type {Map<string, DataOf<T>> | null} */
  #shown = null; // the values in the snapshot
  /** @type {Entry<DataOf<T>> | null} */
  #last = null;
  #keep = 0; // how many events are kept
  /** @type {Entry<DataOf<T>>[]} */
  #kept = [];
  /** @type {readonly Entry<DataOf<T>>[] | null} */
  #entries = null; // the kept ones, until they change
  #history = 0;
  #signature; // that of the page: it may permit to subscribe
  #moment; // the same until the topic is subscribed: what came after the begin of the page is missing
  #until; // the end of the log at the first page of a snapshot, while more pages follow
  #isNew = false; // whether the values began anew with this subscription

  /**
   * @param {string} path
   * @param {import("./handles.js").Handles} topics
   */
  constructor(path, topics) {
    super(topics);
    /** As the server writes it. */
    this.path = path;
  }

  /** The `values` as they are now: another map follows a change. */
  get shownValues() {
    return (this.#shown ??= new Map(this.values));
  }

  /**
   * The latest event or change of a value.
   * @returns {Entry<DataOf<T>> | null}
   */
  get last() {
    return this.#last;
  }

  /**
   * The newest stored events, as many as `keep` of `subscribe` says: a frozen array.
   * @returns {readonly Entry<DataOf<T>>[]}
   */
  get entries() {
    return (this.#entries ??= Object.freeze([...this.#kept]));
  }

  /**
   * The users who are subscribed, by `user_id`, where the topic shows them; in a crowd only `count` is known.
   * @returns {ReadonlyMap<string, Member>}
   */
  get members() {
    return this.#members.all;
  }

  /** @returns {number | null} */
  get count() {
    return this.#members.count;
  }

  /**
   * Subscribe, now and after every reconnect: until the signal aborts, or without one until `unsubscribe`.
   * `history` of the newest events come first. With the `signature` of the page, all entries since the begin of its
   * request come first. The newest `keep` events stay in `entries`. `linger`: end the subscription so many seconds later. Settles with this topic.
   * @param {Subscribing} [options]
   * @returns {Promise<this>}
   */
  subscribe({ history = this.#history, keep = 0, signature, ...options } = {}) {
    this.#history = history;
    this.#keep = Math.max(this.#keep, keep);
    if (signature) this.#signature = signature;
    if (!this.position) this.#moment = this.#signature; // else that of a later page would skip what came before it
    return this.subscription.hold(options);
  }

  /**
   * End the `subscribe` without a signal; with `force` all of them. A later one goes on from the same position.
   * @param {{ force?: boolean }} [options]
   */
  unsubscribe(options) {
    this.subscription.leave(options);
  }

  /**
   * Execute a command of the topic. Settles with the data of its reply, and is never repeated.
   * @template {keyof T["commands"] & string} Name
   * @param {Name} name
   * @param {CommandArguments<T, Name>} rest
   * @returns {Promise<CommandReply<T, Name>>}
   */
  async call(name, ...rest) {
    const [data = {}, options] = rest;
    return (await this.host.request({ type: "call", ...this.target, name, data }, options)).data;
  }

  /**
   * Request a page of entries: those `before` a position, or `after` one.
   * @param {Page} [page]
   * @returns {Promise<{ entries: Entry<DataOf<T>>[], has_more: boolean, epoch: string }>}
   */
  history(page = {}) {
    return this.page(page);
  }

  // What the client calls

  /** Take a frame of this topic. An event without `seq` is not stored, so it has no place in the log. */
  receive(frame) {
    if (frame.type !== "event") this.#see(frame);
    else if (frame.seq === undefined) this.show(frame);
    else this.subscription.receive(frame, frame);
  }

  /** Drop all data of the last user. */
  forget() {
    this.subscription.forget();
    this.#clear();
    this.#members.set({});
    this.touch();
  }

  // Users who subscribe and leave, or the whole list. A count of 0: the topic does not show them any more.
  #see(frame) {
    if (frame.type === "presence") return this.#list(frame.count ? frame : {});
    if (frame.type === "joined") this.#members.add(frame);
    else this.#members.remove(frame);
    this.#tellMembers();
  }

  // Without a count, the server does not show who is subscribed.
  #list({ count = null, members }) {
    if (count === null && this.count === null) return;
    this.#members.set({ count, members });
    this.#tellMembers();
  }

  #tellMembers() {
    this.touch();
    this.emit("presence", { count: this.count, members: [...this.members.values()] });
  }

  // What the subscription and the stores call

  get kind() {
    return "topic";
  }

  get target() {
    return { topic: this.path };
  }

  opening(since) {
    if (since) since.until = this.#until;
    else if (this.#moment) since = { at: this.#moment };
    const signature = since?.at ? undefined : this.#signature;
    return { history: this.#history || undefined, since, signature };
  }

  // A snapshot comes in pages. The server sends events from the last page on.
  entered(reply, since) {
    const { subscription } = this;
    if (reply.topic !== this.path && !this.#rename(reply.topic)) return;
    if (!since || !reply.recovered) this.#restart(since);
    this.#moment = undefined;
    this.rights = reply.rights ?? [];
    subscription.epoch = reply.epoch;
    subscription.position ??= 0;
    if (!reply.has_more) this.#list(reply);
    this.#until = reply.has_more ? reply.until : undefined;
    const isShown = subscription.showAll(reply.entries, reply.through);
    if (reply.has_more) return subscription.more();
    if (isShown && subscription.confirm(reply.through, !this.#isNew)) this.#isNew = false;
  }

  show({ name, data, seq, key, id, at, deleted = false }) {
    const isValue = key !== undefined && !key.startsWith(OWN_KEYS);
    if (isValue && deleted) this.values.delete(key);
    else if (isValue) this.values.set(key, data);
    const about = (this.#last = { name, data, seq, key, id, at, deleted, live: this.state === "live" });
    if (isValue) this.#shown = null;
    else if (key === undefined && seq !== undefined) this.#keepNewest(about);
    this.touch();
    if (!deleted) this.emit(name, data, about);
    if (isValue) this.emit("value", { key, value: data, isDeleted: deleted }, about);
    this.emit("event", about);
  }

  // The server does not accept the signature any more: subscribe without it, if the user may.
  retries({ code }) {
    const isDropped = this.#signature !== undefined && ["invalid_signature", "signature_expired"].includes(code);
    if (isDropped) {
      if (this.#moment) this.emit("reset");
      this.#signature = this.#moment = undefined;
    }
    return isDropped;
  }

  refused(error) {
    this.forget();
    this.emit("refused", { error });
  }

  #restart(since) {
    const isReset = this.subscription.position !== undefined || since !== undefined;
    this.#isNew = true;
    this.#clear();
    this.subscription.position = undefined;
    if (isReset) this.emit("reset");
  }

  #clear() {
    this.values.clear();
    this.#kept = [];
    this.#shown = this.#last = this.#entries = null;
  }

  #keepNewest(entry) {
    if (!this.#keep) return;
    if (this.#kept.push(entry) > this.#keep) this.#kept.shift();
    this.#entries = null;
  }

  // `order/007` is the topic `order/7`, which the page may have opened by that name too.
  #rename(path) {
    const isFree = this.handles.rename(this, path);
    if (isFree) this.path = path;
    else this.subscription.refused(failure("duplicate", "refused", { message: `This topic is open as ${path}. Use that name.` }));
    return isFree;
  }
}
