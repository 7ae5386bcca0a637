/** One room: its messages and members. `subscription.js` follows its log. */

const KEEP = 2000; // messages of a room; earlier ones that the page has loaded stay as well

const revision = (message) => message.changed_seq ?? message.seq;

/** The loaded messages of a room, from the oldest loaded one on. */
class MessageLog {
  messages = new Map(); // id → latest state
  hasMore = false; // whether the server has older ones
  first; // seq from which on all are loaded
  #unloaded = new Map(); // states of messages below `first`
  #keep = KEEP;

  list() {
    return [...this.messages.values()].sort((a, b) => a.seq - b.seq);
  }

  /** Replace all by the newest messages, which came with the room. */
  restart({ messages, has_more, through }) {
    this.messages = new Map(messages.map((message) => [message.id, message]));
    this.#unloaded.clear();
    this.hasMore = has_more;
    this.first = Math.min(through + 1, ...messages.map(({ seq }) => seq));
  }

  /** Store a state of a message. Returns the event that it makes, or null. */
  put(message) {
    const known = this.messages.get(message.id);
    if (known && revision(message) <= revision(known)) return null;
    if (!known && this.hasMore && message.seq < this.first) return this.#putUnloaded(message);
    this.messages.set(message.id, message);
    if (this.messages.size > this.#keep * 1.25) this.trim(this.#keep);
    return known ? "changed" : "message";
  }

  // It may be newer than the one in a page that is on its way.
  #putUnloaded(message) {
    this.#unloaded.set(message.id, message);
    if (this.#unloaded.size > KEEP) this.#unloaded.delete(this.#unloaded.keys().next().value);
    return null;
  }

  /** Add a page of the messages before a seq. */
  prepend({ messages, has_more }, before) {
    if (before < this.first) return; // trimmed meanwhile: there would be a hole
    for (const message of messages) {
      const known = this.messages.get(message.id) ?? this.#unloaded.get(message.id);
      this.messages.set(message.id, known && revision(known) > revision(message) ? known : message);
      this.first = Math.min(this.first, message.seq);
    }
    if (!messages.length || messages[0].seq === this.first) this.hasMore = has_more;
    this.#keep = Math.max(this.#keep, this.messages.size);
  }

  trim(keep) {
    this.#keep = KEEP;
    const gone = this.list().slice(0, -keep);
    for (const { id } of gone) this.messages.delete(id);
    if (!gone.length) return gone;
    this.first = gone.at(-1).seq + 1;
    this.hasMore = true;
    return gone;
  }

  clear() {
    this.messages.clear();
    this.#unloaded.clear();
    this.hasMore = false;
    this.first = undefined;
  }
}

/** The state of one room. A page reads it, and only the client changes it. */
export class Room {
  about = {};
  members = new Map();
  count = 0;
  subscription;
  #history;
  #session;
  #log = new MessageLog();
  #joinedAt; // the seq at the time of the join: later events are live

  /** `session`: catchUp, follow(owner), emit(type, detail), entered(room, isAnew), refused(room, error). */
  constructor(slug, history, session) {
    this.slug = slug;
    this.#history = history;
    this.#session = session;
    this.subscription = session.follow(this.#owner());
  }

  /** That of the subscription to its log. */
  get state() {
    return this.subscription.state;
  }

  get epoch() {
    return this.subscription.epoch;
  }

  get position() {
    return this.subscription.position;
  }

  get messages() {
    return this.#log.messages;
  }

  get hasMore() {
    return this.#log.hasMore;
  }

  get first() {
    return this.#log.first;
  }

  get wanted() {
    return this.subscription.wanted;
  }

  get joined() {
    return this.subscription.joined;
  }

  /** The messages in the order of the room's log. */
  list() {
    return this.#log.list();
  }

  /** Whether the user may `post`, `signal`, `moderate` or `manage` here; `about` has the rest. */
  may(right) {
    return Boolean(this.about.rights?.includes(right));
  }

  /** Forget all but the newest `keep` messages. */
  trim(keep) {
    return this.#log.trim(keep);
  }

  /** Drop all data of the last user. */
  forget() {
    this.subscription.forget();
    Object.assign(this, { about: {}, count: 0 });
    this.#log.clear();
    this.members.clear();
  }

  // The log

  #owner() {
    const address = { room: this.slug };
    return {
      handle: this,
      address,
      opening: (since) => ({ type: "join", ...address, history: this.#history, since }),
      closing: () => ({ type: "leave", ...address }),
      opened: (reply, since) => this.#joined(reply, since),
      show: (message) => this.#show(message),
      refused: (error) => this.#session.refused(this, error),
    };
  }

  // More was missed than a resume brings: a repair reads it page by page, before anything newer.
  #joined(reply, since) {
    const subscription = this.subscription;
    const missed = since?.epoch === reply.epoch ? reply.through - this.position : null;
    const isGap = missed !== null && missed >= 0 && !reply.recovered && this.#session.catchUp === "all";
    const resumed = isGap || Boolean(since && reply.recovered);
    const isReset = !resumed && this.position !== undefined;
    const isAnew = isReset && reply.epoch !== this.epoch;
    if (!resumed) this.#log.restart(reply);
    Object.assign(subscription, { state: "joined", epoch: reply.epoch || null });
    this.about = reply;
    this.#joinedAt = reply.through;
    if (!isGap) subscription.position = reply.through;
    this.setMembers(reply);
    if (resumed && !isGap) for (const message of reply.messages) this.#show(message);
    this.#session.emit("room", { room: this, resumed });
    if (isReset) this.#session.emit("reset", { room: this.slug, missed });
    if (subscription.confirm(reply.through)) this.#session.entered(this, isAnew);
  }

  #show(message) {
    const type = this.#log.put(message);
    if (type) this.#session.emit(type, { room: this.slug, message, live: revision(message) > this.#joinedAt });
  }

  /** Add a page of earlier messages, unless it is of another log than the loaded ones. */
  prepend(reply, before) {
    if (reply.epoch === this.epoch) this.#log.prepend(reply, before);
  }

  // Members

  setMembers({ members = [], count }) {
    this.members = new Map(members.map((member) => [member.user_id, member]));
    this.count = count;
  }

  addMember({ user_id, username }) {
    if (!this.members.has(user_id)) this.count++;
    this.members.set(user_id, { user_id, username, connections: 1 });
  }

  removeMember({ user_id }) {
    if (this.members.delete(user_id)) this.count--;
  }
}
