/** A server for random walks: each frame waits until the walk lets it arrive, and a line may be cut at any step. */

const RESUME = 3; // more missed messages than this are read by pages

const BUSY = { type: "error", code: "rate_limited", message: "", retryable: true, retry_after: 1 };

/** The frames of one line, on their way in both directions. */
class Wire {
  toServer = [];
  toClient = [];
  entered = new Set();
  isOpen = true;

  constructor(receiver) {
    this.receiver = receiver;
  }
}

export class World {
  logs = new Map(); // slug → messages
  epochs = new Map(); // slug → number
  refusals = 0; // how many of the next commands that enter are refused for now
  wire = null;
  #id = 0;

  transport = {
    open: ({ signal }, receiver) => {
      const wire = (this.wire = new Wire(receiver));
      signal.addEventListener("abort", () => (wire.isOpen = false));
      const welcome = { type: "welcome", connection: "c", user_id: "1", username: "1", heartbeat: 1e6, limits: {}, protocol: 1 };
      wire.toClient.push(welcome);
      return {
        name: "walk",
        bufferedAmount: 0,
        send: (text) => wire.isOpen && wire.toServer.push(...text.split("\n").map((line) => JSON.parse(line))),
        close: () => (wire.isOpen = false),
      };
    },
  };

  get isQuiet() {
    return !this.wire?.isOpen || (!this.wire.toServer.length && !this.wire.toClient.length);
  }

  log(slug) {
    if (!this.logs.has(slug)) this.logs.set(slug, []);
    return this.logs.get(slug);
  }

  /** Store a message, and tell the client if it is in the room, unless the event is lost. */
  post(slug, { content = "", nonce, isLost = false } = {}) {
    const log = this.log(slug);
    const message = { id: ++this.#id, seq: log.length + 1, user_id: "2", username: "2", content, nonce, created_at: "" };
    log.push(message);
    if (this.wire?.entered.has(slug) && !isLost) this.wire.toClient.push({ type: "message", room: slug, ...message });
    return message;
  }

  /** Let a log begin anew, as after the failover of a database. */
  restart(slug) {
    this.epochs.set(slug, this.#epoch(slug) + 1);
    this.logs.set(slug, []);
    if (this.wire?.entered.delete(slug)) this.wire.toClient.push({ type: "resync", room: slug, seq: 0, epoch: `${this.#epoch(slug)}` });
  }

  #epoch(slug) {
    return this.epochs.get(slug) ?? 1;
  }

  /** Tell of an old message once more. */
  repeat(slug, at) {
    const log = this.log(slug);
    if (log.length && this.wire?.entered.has(slug)) this.wire.toClient.push({ type: "message", room: slug, ...log[Math.floor(at * log.length)] });
  }

  cut() {
    if (!this.wire?.isOpen) return;
    this.wire.isOpen = false;
    this.wire.receiver.onEnd(1006, "");
  }

  /** Let one command arrive. */
  take() {
    const command = this.wire?.isOpen && this.wire.toServer.shift();
    if (!command) return;
    const targets = command.rooms?.map((room) => ({ type: "join", ...room })) ?? command.topics?.map((topic) => ({ type: "subscribe", ...topic }));
    if (targets && this.refusals && this.refusals--) return this.wire.toClient.push({ ...BUSY, ref: command.ref });
    for (const target of targets ?? [command]) {
      const reply = this.#execute(target);
      if (reply) this.wire.toClient.push({ ...reply, ref: command.ref });
    }
  }

  /** Let one frame arrive, or more of them together. */
  give(count = 1) {
    const frames = (this.wire?.isOpen && this.wire.toClient.splice(0, count)) || [];
    if (frames.length) this.wire.receiver.onFrame(frames.map((frame) => JSON.stringify(frame)).join("\n"));
  }

  #execute(command) {
    const { type, room, topic, since } = command;
    const { entered } = this.wire;
    const isEntering = type === "join" || type === "subscribe";
    if (isEntering && this.refusals && this.refusals--) return { ...BUSY, room, topic };
    switch (type) {
      case "join":
        entered.add(room);
        return { type: "joined", room, ...this.#state(room, since), members: [], count: 1, has_more: false };
      case "leave":
        entered.delete(room);
        return { type: "left", room, user_id: "1", username: "1" };
      case "subscribe":
        entered.add(topic);
        return { type: "subscribed", topic, epoch: "e", through: 0, entries: [], recovered: Boolean(since), has_more: false };
      case "unsubscribe":
        entered.delete(topic);
        return { type: "unsubscribed", topic };
      case "message":
        return this.#store(command);
      case "history":
        return this.#page(command);
      case "ping":
        return { type: "pong" };
    }
  }

  #state(slug, since) {
    const log = this.log(slug);
    const epoch = `${this.#epoch(slug)}`;
    const isKnown = since?.epoch === epoch;
    const missed = isKnown ? log.slice(since.seq) : log;
    const recovered = isKnown && missed.length <= RESUME;
    return { epoch, through: log.length, recovered, messages: recovered || !isKnown ? missed : log.slice(-2) };
  }

  #store({ room, content, nonce }) {
    const known = this.log(room).find((message) => message.nonce === nonce);
    if (!known && !this.wire.entered.has(room)) return { type: "error", code: "not_joined", message: "", retryable: false, room };
    const { seq, id } = known ?? this.post(room, { content, nonce });
    return { type: "ack", room, seq, id, nonce, created_at: "" };
  }

  #page({ room, after }) {
    const messages = this.log(room).slice(after, after + 2);
    return { type: "history", room, messages, epoch: `${this.#epoch(room)}`, through: after + messages.length, has_more: false };
  }
}

/** Numbers that look random, and are the same for the same seed. */
export function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
