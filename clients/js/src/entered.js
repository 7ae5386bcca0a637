/**
 * What a line has entered, and how far it has read: so that the next request or socket goes on from there.
 * The client does not learn of it: replies to entering again become the events that were missed.
 */

import { addressOf, isForAll } from "./address.js";
import { positionOf } from "./position.js";

const AGAIN = "again "; // with a number: the refs of commands that enter again
const MOST = 100;

export class Entered {
  #logs = new Map(); // address → { target, seq, epoch }
  #batches = new Map(); // ref of a command that enters again → its addresses

  get size() {
    return this.#logs.size;
  }

  /** Forget a room or topic. Returns whether it was entered. */
  leave(command) {
    return this.#logs.delete(addressOf(command));
  }

  /** Return the commands that enter everything again. */
  commands() {
    this.#batches.clear();
    const targets = [...this.#logs.values()].map(({ target, seq, epoch }) => ({ ...target, since: { seq, epoch } }));
    return [...this.#batch(targets, "room", "joins", "rooms"), ...this.#batch(targets, "topic", "subscribes", "topics")];
  }

  /** Whether a command with this ref has entered something again. */
  isAgain(ref) {
    return this.#batches.has(ref);
  }

  /** The addresses that this command has entered again. */
  addresses(ref) {
    return this.#batches.get(ref);
  }

  *#batch(targets, kind, type, list) {
    const some = targets.filter((target) => kind in target);
    while (some.length) {
      const batch = some.splice(0, MOST);
      const ref = AGAIN + this.#batches.size;
      this.#batches.set(ref, batch.map(addressOf));
      yield { type, [list]: batch, ref };
    }
  }

  /** Take a frame of the server. Returns the frames for the client. */
  take(frame) {
    if (this.isAgain(frame.ref)) return this.#again(frame);
    if (frame.through !== undefined && (frame.type === "joined" || frame.type === "subscribed")) this.#enter(frame);
    else if (frame.type === "removed" || frame.type === "resync") this.leave(frame);
    else this.#read(frame);
    return [frame];
  }

  #enter({ type, room, topic, through, epoch, has_more, until }) {
    if (type === "subscribed" && (has_more || until)) return; // the client asks for the next page
    const target = type === "joined" ? { room } : { topic };
    this.#logs.set(addressOf(target), { target, seq: through, epoch });
  }

  #read(frame) {
    const log = this.#logs.get(addressOf(frame));
    if (!log || !["message", "changed", "event"].includes(frame.type)) return;
    const position = positionOf(frame);
    if (position > log.seq) log.seq = position;
    if (frame.epoch && !log.epoch) log.epoch = frame.epoch;
  }

  #again(frame) {
    if (isForAll(frame)) return this.#deferred(frame);
    const address = addressOf(frame);
    const log = this.#logs.get(address);
    if (!log) return []; // it was left meanwhile
    if (frame.type === "error") return this.#refused(frame);
    if (frame.recovered && !frame.has_more) return this.#missed(frame, log);
    if (frame.type === "left" || frame.type === "unsubscribed") return [];
    this.leave(frame);
    const { room, topic, through: seq, epoch } = frame;
    return [{ type: "resync", room, topic, seq, epoch }];
  }

  // A batch that was too much for the server, or an error of each of its rooms and topics.
  #deferred(frame) {
    if (!frame.retryable) throw new Error(frame.code);
    return this.#batches.get(frame.ref).flatMap((address) => (this.#logs.has(address) ? this.#refused({ ...frame, ...JSON.parse(address) }) : []));
  }

  // What is refused for a while is entered by the client again, after the pause and from where it is.
  #refused({ ref, ...frame }) {
    this.leave(frame);
    return [{ ...frame, type: "removed", code: frame.retryable ? "unavailable" : frame.code }];
  }

  #missed({ ref, messages, entries, members, count, through, epoch, recovered, has_more, ...about }, log) {
    let last = log.seq;
    const events = [];
    for (const entry of [...(messages ?? entries)].sort((one, other) => positionOf(one) - positionOf(other))) {
      const from = last + 1;
      last = positionOf(entry);
      if (entries) events.push({ type: "event", topic: about.topic, ...entry, from });
      else if (last === entry.seq) events.push({ type: "message", room: about.room, ...entry, from });
      else events.push({ type: "changed", room: about.room, seq: last, message: entry, from });
    }
    Object.assign(log, { seq: Math.max(log.seq, through), epoch: epoch || log.epoch });
    if (members) events.push({ type: "presence", room: about.room, topic: about.topic, members, count });
    if (about.room !== undefined) events.push({ ...about, type: "room" });
    return events;
  }
}
