/**
 * What a line has entered, and how far it has read: so that the next request or socket goes on from there.
 * The client does not learn of it: replies to entering again become the events that were missed.
 */

import { addressOf, isForAll } from "./address.js";
import { positionOf } from "./position.js";

const AGAIN = "again"; // the ref of commands that enter again
const MOST = 100;

export class Entered {
  #logs = new Map(); // address → { target, seq, epoch }

  get size() {
    return this.#logs.size;
  }

  /** Forget a room or topic. Returns whether it was entered. */
  leave(command) {
    return this.#logs.delete(addressOf(command));
  }

  /** Return the commands that enter everything again. */
  commands() {
    const targets = [...this.#logs.values()].map(({ target, seq, epoch }) => ({ ...target, since: { seq, epoch } }));
    return [...batches(targets, "room", "joins", "rooms"), ...batches(targets, "topic", "subscribes", "topics")];
  }

  /** Take a frame of the server. Returns the frames for the client. */
  take(frame) {
    if (frame.ref === AGAIN) return this.#again(frame);
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
    this.#logs.delete(address); // those without an answer are first the next time
    this.#logs.set(address, log);
    if (frame.type === "error") return this.#refused(frame);
    if (frame.recovered && !frame.has_more) return this.#missed(frame, log);
    if (frame.type === "left" || frame.type === "unsubscribed") return [];
    this.leave(frame);
    const { room, topic, through: seq, epoch } = frame;
    return [{ type: "resync", room, topic, seq, epoch }];
  }

  // A batch that was too much for the server is late: it is entered by the next request. Else the client begins anew.
  #deferred({ code, retryable }) {
    if (!retryable) throw new Error(code);
    return [];
  }

  #refused({ ref, ...frame }) {
    this.leave(frame);
    return [frame.retryable ? { ...frame, type: "resync", seq: 0, epoch: "" } : { ...frame, type: "removed" }];
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

function* batches(targets, kind, type, list) {
  const some = targets.filter((target) => kind in target);
  while (some.length) yield { type, [list]: some.splice(0, MOST), ref: AGAIN };
}
