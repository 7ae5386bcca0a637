/**
 * One room: its messages and members, and the position up to which all its events have been received.
 * A gap before an event, or before a reply to `join`, is repaired from the history first.
 */

const KEEP = 2000; // messages of a room; earlier ones that the page has loaded stay as well
const PAGE = 100;

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
  /**
   * `left`; `entering`: it is joined as soon as there is a connection; `joined`; or `repairing`:
   * joined, but missed messages are read before newer ones are delivered.
   */
  state = "left";
  about = {};
  members = new Map();
  count = 0;
  epoch = null;
  position; // the seq up to which all events were received
  #history;
  #session;
  #log = new MessageLog();
  #target = 0; // the seq that a repair has to reach
  #joinedAt; // the seq at the time of the join: later events are live
  #ready = deferred();

  /** `session`: catchUp, ask(command, onReply, onError), after(seconds, act), emit(type, detail), entered(room, isAnew), refused(room, error). */
  constructor(slug, history, session) {
    this.slug = slug;
    this.#history = history;
    this.#session = session;
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
    return this.state !== "left";
  }

  get joined() {
    return this.state === "joined" || this.state === "repairing";
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

  // Join and leave

  /** Mark the room as one to be in. Settles with the `Room` once it is joined. */
  want() {
    if (this.state === "left") this.state = "entering";
    return this.#ready.promise;
  }

  /** Send `join`, if that is still to be done; there must be a connection. */
  enter() {
    if (this.state === "entering") this.#join();
  }

  rejoin() {
    this.detach();
    this.enter();
  }

  /** Join without a position, because the log was purged or restored. */
  resync() {
    this.epoch = null;
    this.rejoin();
  }

  leave(error) {
    if (this.joined) this.#session.ask({ type: "leave", room: this.slug });
    this.detach();
    this.state = "left";
    this.fail(error);
  }

  /** Leave, because the server has removed the user. */
  remove(error) {
    this.detach();
    this.#refused(error);
  }

  /** Record that the connection is not in this room any more. */
  detach() {
    if (this.wanted) this.state = "entering";
    this.#target = 0;
  }

  /** Reject the promise of `join`; the next `join` makes another one. */
  fail(error) {
    this.#ready.reject(error);
    this.#ready = deferred();
  }

  /** Drop all data of the last user. */
  forget() {
    Object.assign(this, { about: {}, count: 0, epoch: null, position: undefined });
    this.#log.clear();
    this.members.clear();
  }

  #join() {
    const since = this.epoch ? { seq: this.position, epoch: this.epoch } : undefined;
    this.#session.ask(
      { type: "join", room: this.slug, history: this.#history, since },
      (reply) => this.wanted && this.#joined(reply, since),
      (error) => this.#refused(error),
    );
  }

  // More was missed than a resume brings: a repair reads it page by page, before anything newer.
  #joined(reply, since) {
    const missed = since?.epoch === reply.epoch ? reply.through - this.position : null;
    const isGap = missed !== null && missed >= 0 && !reply.recovered && this.#session.catchUp === "all";
    const resumed = isGap || Boolean(since && reply.recovered);
    const isReset = !resumed && this.position !== undefined;
    const isAnew = isReset && reply.epoch !== this.epoch;
    if (!resumed) this.#log.restart(reply);
    Object.assign(this, { state: "joined", epoch: reply.epoch, about: reply });
    this.#joinedAt = reply.through;
    if (!isGap) this.position = reply.through;
    this.setMembers(reply);
    if (resumed && !isGap) for (const message of reply.messages) this.#show(message);
    this.#session.emit("room", { room: this, resumed });
    if (isReset) this.#session.emit("reset", { room: this.slug, missed });
    if (!this.joined) return; // a listener has left it
    this.#ready.resolve(this);
    this.#target = Math.max(this.#target, reply.through);
    if (isGap) this.#repair();
    this.#session.entered(this, isAnew);
  }

  #refused(error) {
    if (error.code === "offline" || !this.wanted) return;
    if (error.retryable) return this.#after(error.retryAfter, () => this.#join());
    this.fail(error);
    this.#session.refused(this, error);
  }

  // Events and gaps

  /** Take an event of the log, which makes this state of a message. `from` is the first seq that it stands for. */
  receive({ seq, from = seq }, message) {
    if (!this.joined || seq <= this.position) return;
    this.#target = Math.max(this.#target, seq);
    if (this.state === "repairing") return; // the repair goes on until it has reached the target
    if (from > this.position + 1) return this.#repair();
    this.position = seq;
    this.#show(message);
  }

  #repair() {
    this.state = "repairing";
    this.#session.ask(
      { type: "history", room: this.slug, after: this.position, limit: PAGE },
      (reply) => this.#repaired(reply),
      ({ code, retryable, retryAfter }) => {
        if (code !== "offline") this.#after(retryAfter, () => (retryable ? this.#repair() : this.#join()));
      },
    );
  }

  // A reply that comes after the room was left or joined anew is ignored: the next join asks from the position.
  #repaired(reply) {
    if (this.state !== "repairing") return;
    if (reply.epoch !== this.epoch) return this.resync();
    const start = this.position;
    for (const message of reply.messages) this.#show(message);
    if (this.state !== "repairing") return;
    this.position = Math.max(start, reply.through);
    if (this.position >= this.#target) this.state = "joined";
    else if (this.position > start) this.#repair();
    else this.#after(1, () => this.#repair());
  }

  #show(message) {
    const type = this.#log.put(message);
    if (type) this.#session.emit(type, { room: this.slug, message, live: revision(message) > this.#joinedAt });
  }

  // Only while nothing else has changed the state.
  #after(seconds, act) {
    const { state } = this;
    this.#session.after(seconds, () => this.state === state && act());
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

function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  parts.promise.catch(() => {}); // a page that did not wait gets an event
  return parts;
}
