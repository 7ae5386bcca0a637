/** What the browser client knows of one room, and its errors. `client.js` is what a page imports. */

const KEEP = 2000; // messages of a room; what was read back stays besides

export const revision = (state) => state.changed_seq ?? state.seq;

/** `code`: the protocol's, or `offline`, `closed`, `left`, `queue_full`, `expired`, `identity_changed`. */
export class RealtimeError extends Error {
  constructor({ code, message = code, retryable = false, retry_after }) {
    super(message);
    this.name = "RealtimeError";
    this.code = code;
    this.retryable = retryable;
    this.retryAfter = retry_after;
  }
}

/** Random; `crypto.randomUUID` is missing where the page is no secure context. */
export function makeNonce() {
  return crypto.randomUUID?.() ?? crypto.getRandomValues(new Uint32Array(4)).join("-");
}

/** What is known of one room; only the client writes it. */
export class Room {
  constructor(slug, history) {
    Object.assign(this, { slug, history, wanted: true, about: {}, hasMore: false, members: new Map(), count: 0 });
    this.messages = new Map(); // id → latest state
    this.unloaded = new Map(); // states of messages above the loaded ones
    this.ready = deferred();
    this.epoch = null;
    this.keep = KEEP;
    this.lineLost();
  }

  /** The messages in the order of the room's log. */
  list() {
    return [...this.messages.values()].sort((a, b) => a.seq - b.seq);
  }

  /** Whether the user may `post`, `signal`, `moderate` or `manage` here; `about` has the rest. */
  may(right) {
    return Boolean(this.about.rights?.includes(right));
  }

  /** Forget all but the newest `keep` messages. */
  trim(keep) {
    this.keep = KEEP;
    const gone = this.list().slice(0, -keep);
    for (const { id } of gone) this.messages.delete(id);
    if (!gone.length) return gone;
    this.first = gone.at(-1).seq + 1;
    this.hasMore = true;
    return gone;
  }

  /** Who waits to be in it waits in vain; the next `join` starts anew. */
  miss(error) {
    this.ready.reject(error);
    this.ready = deferred();
  }

  /** Drop all that the last identity was shown. */
  forget() {
    Object.assign(this, { about: {}, hasMore: false, count: 0, epoch: null, position: undefined, first: undefined });
    for (const known of [this.messages, this.unloaded, this.members]) known.clear();
  }

  lineLost() {
    this.joined = this.repairing = this.held = false;
    this.target = 0;
  }

  restart({ messages, has_more, through }) {
    this.messages = new Map(messages.map((state) => [state.id, state]));
    this.unloaded.clear();
    this.hasMore = has_more;
    this.first = Math.min(through + 1, ...messages.map(({ seq }) => seq));
  }

  /** The event that this state makes: a state of an unknown message above what is loaded makes none. */
  take(state) {
    const known = this.messages.get(state.id);
    if (known && revision(state) <= revision(known)) return null;
    if (!known && this.hasMore && state.seq < this.first) {
      this.unloaded.set(state.id, state); // may be newer than a page that is on its way
      if (this.unloaded.size > KEEP) this.unloaded.delete(this.unloaded.keys().next().value);
      return null;
    }
    this.messages.set(state.id, state);
    if (this.messages.size > this.keep * 1.25) this.trim(this.keep);
    return known ? "changed" : "message";
  }

  prepend({ messages, has_more }, before) {
    if (before < this.first) return; // trimmed meanwhile: there would be a hole
    for (const state of messages) {
      const known = this.messages.get(state.id) ?? this.unloaded.get(state.id);
      this.messages.set(state.id, known && revision(known) > revision(state) ? known : state);
      this.first = Math.min(this.first, state.seq);
    }
    if (!messages.length || messages[0].seq === this.first) this.hasMore = has_more;
    this.keep = Math.max(this.keep, this.messages.size);
  }

  meet({ members = [], count }) {
    this.members = new Map(members.map((member) => [member.user_id, member]));
    this.count = count;
  }
}

export function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  parts.promise.catch(() => {}); // who did not wait is told by an event
  return parts;
}
