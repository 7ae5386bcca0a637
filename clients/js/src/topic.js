/** One topic: the listeners to its events, and the values of its keys. `subscription.js` follows its log. */

/** A topic. A page listens to it and reads it, and only the client changes it. */
export class Topic extends EventTarget {
  /** The latest value of each key. */
  state = new Map();
  /** The users who are subscribed, by `user_id`, where the topic shows them; in a crowd only `count` is known. */
  presence = new Map();
  count = null;
  rights = [];
  subscription;
  #session;
  #history = 0;
  #signature; // that of the page: it may permit to subscribe
  #moment; // the same until the topic is subscribed: what came after the begin of the page is missing
  #until; // the end of the log at the first page of a snapshot, while more pages follow
  #isNew = false; // whether the values began anew with this subscription

  /**
   * `session`: ask(command), follow(owner), subscribe(subscription), request(command), rename(topic, name),
   * error(fields).
   */
  constructor(name, session) {
    super();
    this.name = name;
    this.#session = session;
    this.subscription = session.follow(this.#owner());
  }

  get subscribed() {
    return this.subscription.joined;
  }

  /**
   * Listen to the events and values of a name: `listener(data, entry)`.
   * `event` stands for all of them, and for deletions, which have no data: `listener(entry)`.
   * `subscribed` ({ resumed }), `reset` and `refused` ({ code, message }) tell of the subscription, and
   * `presence` ({ count, members }) of who is subscribed.
   * Returns a function that stops it.
   */
  on(name, listener, options) {
    const handle = ({ detail }) => listener(...detail);
    this.addEventListener(name, handle, options);
    return () => this.removeEventListener(name, handle);
  }

  /**
   * Subscribe, now and after every reconnect; settles with this topic. `history` of the newest events come first.
   * With the `signature` of the page, all entries since the begin of its request come first.
   */
  subscribe({ history = this.#history, signature } = {}) {
    this.#history = history;
    if (signature) this.#signature = this.#moment = signature;
    return this.#session.subscribe(this.subscription);
  }

  /** End the subscription; a later one goes on from the same position. */
  unsubscribe() {
    if (this.subscription.wanted) this.subscription.leave(this.#session.error({ code: "left" }));
  }

  /** Execute a command of the topic. Settles with its reply, and is never repeated. */
  async call(name, data = {}) {
    const reply = await this.#session.request({ type: "call", topic: this.name, name, data });
    return reply.data;
  }

  /** Request a page of entries: those `before` a position, or `after` one. */
  history({ before, after, limit = 50 } = {}) {
    return this.#session.request({ type: "history", topic: this.name, before, after, limit });
  }

  /** Take an event; one without `seq` is not stored, so it has no place in the log. */
  receive(frame) {
    if (frame.seq !== undefined) this.subscription.receive(frame, frame);
    else if (this.subscribed) this.#show(frame);
  }

  /** Take `joined` or `left` of a user, or the whole list (`presence`). */
  see({ type, user_id, username, ...list }) {
    if (!this.subscribed) return;
    if (type === "presence") return this.#list(list.count ? list : {});
    const { size } = this.presence;
    if (type === "joined") this.presence.set(user_id, { user_id, username });
    else this.presence.delete(user_id);
    this.count += this.presence.size - size;
    this.#tellPresence();
  }

  /** Drop all data of the last user. */
  forget() {
    this.subscription.forget();
    this.state.clear();
    this.presence.clear();
    this.count = null;
  }

  #owner() {
    const topic = this;
    return {
      handle: this,
      get address() {
        return { topic: topic.name };
      },
      opening: (since) => this.#opening(since),
      closing: () => ({ type: "unsubscribe", topic: this.name }),
      opened: (reply, since) => this.#opened(reply, since),
      show: (entry) => this.#show(entry),
      retries: (error) => this.#dropSignature(error),
      refused: (error) => this.#refused(error),
    };
  }

  #opening(since) {
    if (since) since.until = this.#until;
    else if (this.#moment) since = { at: this.#moment };
    const signature = since?.at ? undefined : this.#signature;
    return { type: "subscribe", topic: this.name, history: this.#history || undefined, since, signature };
  }

  // A snapshot comes in pages. The server sends events from the last page on.
  #opened(reply, since) {
    const { subscription } = this;
    if (reply.topic !== this.name && !this.#rename(reply.topic)) return;
    if (!since || !reply.recovered) this.#restart(since);
    this.#moment = undefined;
    Object.assign(subscription, { epoch: reply.epoch, position: reply.through });
    Object.assign(this, { rights: reply.rights ?? [] });
    if (!reply.has_more) this.#list(reply);
    this.#until = reply.has_more ? reply.until : undefined;
    for (const entry of reply.entries) this.#show(entry);
    if (!subscription.wanted) return this.#left(reply);
    if (reply.has_more) return subscription.enter();
    subscription.state = "joined";
    this.#emit("subscribed", { resumed: !this.#isNew });
    this.#isNew = false;
    subscription.confirm(reply.through);
  }

  // Without a count, the server does not show who is subscribed.
  #list({ count = null, members = [] }) {
    if (count === null && this.count === null) return;
    this.presence = new Map(members.map((member) => [member.user_id, member]));
    this.count = count;
    this.#tellPresence();
  }

  #tellPresence() {
    this.#emit("presence", { count: this.count, members: [...this.presence.values()] });
  }

  // A listener has unsubscribed while the entries were shown; with the last page, the server has subscribed the client.
  #left({ has_more }) {
    if (!has_more) this.#session.ask({ type: "unsubscribe", topic: this.name });
  }

  #restart(since) {
    const isReset = this.subscription.position !== undefined || since !== undefined;
    this.#isNew = true;
    this.state.clear();
    if (isReset) this.#emit("reset");
  }

  // `order/007` is the topic `order/7`, which the page may have opened by that name too.
  #rename(name) {
    const isFree = this.#session.rename(this, name);
    if (isFree) this.name = name;
    else this.#refused(this.#session.error({ code: "duplicate", message: `This topic is open as ${name}. Use that name.` }));
    return isFree;
  }

  #show({ name, data, seq, key, id, at, deleted = false }) {
    if (key !== undefined) deleted ? this.state.delete(key) : this.state.set(key, data);
    const entry = { name, data, seq, key, id, at, deleted, live: this.subscription.state === "joined" };
    if (!deleted) this.#emit(name, data, entry);
    this.#emit("event", entry);
  }

  // The server does not accept the signature any more: subscribe without it, if the user may.
  #dropSignature({ code }) {
    const isDropped = this.#signature !== undefined && ["invalid_signature", "signature_expired"].includes(code);
    if (isDropped) {
      if (this.#moment) this.#emit("reset");
      this.#signature = this.#moment = undefined;
    }
    return isDropped;
  }

  #refused(error) {
    this.subscription.leave(error);
    this.forget();
    this.#emit("refused", error);
  }

  #emit(name, ...detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
