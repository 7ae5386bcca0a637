/** The leader's part: many seats use one line to the server. It passes their commands up, and frames down. */

import { addressOf, isForAll, LEAVES } from "./address.js";

const EVENTS = { joined: "message", subscribed: "event" }; // of what was entered with this reply
const POSITIONED = ["message", "changed", "event"];

export class Router {
  /** The line, as soon as it is opened. */
  /** @type {any} */
  line = null;
  #own;
  #group;
  /** @type {any} */
  #welcome = null;
  #ref = 0;
  #commands = new Map(); // ref on the line → { seat, ref, addresses, left }, until the last reply
  #members = new Map(); // address → the seats that are in it
  #reached = new Map(); // address → the seq up to which all of them know what there is
  #partial = new Map(); // address → the seat that gets a snapshot by pages: meanwhile the server sends no events
  #seats = new Map(); // seat → a number, which is higher if it was visible later
  #seen = 0;
  #questions = new Map(); // ref of a question → { line, asked, seats }, with the seats that were not asked yet

  /**
   * `own`: the leader's seat. `group`: clock, deliver(text, seat) passes a line to one seat or to all, and
   * opened() is called when there is a `welcome`.
   */
  constructor(own, group) {
    this.#own = own;
    this.#group = group;
    this.admit(own, true);
  }

  /** The frame `welcome`, for a seat that comes now; null until the server has sent it. */
  get welcome() {
    const time = this.#group.clock.serverNow();
    return this.#welcome && JSON.stringify({ ...this.#welcome, server_time: new Date(time || 0) });
  }

  // Seats

  /** Add a seat, or note that it is visible. Returns whether it is a new one. */
  admit(seat, isVisible = false) {
    const isNew = !this.#seats.has(seat);
    if (isNew || isVisible) this.#seats.set(seat, isVisible ? ++this.#seen : 0);
    return isNew;
  }

  /** Remove a seat, and leave the rooms and topics that no other seat uses. */
  dismiss(seat) {
    this.#seats.delete(seat);
    for (const [address, seats] of this.#members) if (seats.has(seat)) this.#abandon(address, seat);
    for (const [ref, question] of this.#questions) {
      question.seats = question.seats.filter((one) => one !== seat);
      if (!question.seats.length) this.#questions.delete(ref);
      else if (question.asked === seat) this.#askNext(ref);
    }
  }

  #abandon(address, seat) {
    if (this.#leave(address, seat)) this.line.send(JSON.stringify(leaving(JSON.parse(address))));
  }

  #entered(frame, seat) {
    const address = addressOf(frame);
    this.#members.set(address, (this.#members.get(address) ?? new Set()).add(seat));
    if (frame.type === "subscribed" && frame.has_more) this.#partial.set(address, seat);
    else this.#followed(address, frame, seat);
    if (!this.#seats.has(seat)) this.#abandon(address, seat); // it has ended meanwhile
  }

  // The server follows a log anew for each seat that enters, and tells that one alone what came meanwhile. By an event
  // after a gap, the others learn that they have missed something: it comes from beyond the gap, and is not shown.
  #followed(address, { type, room, topic, through: seq }, seat) {
    this.#partial.delete(address);
    if (!this.#reach(address, seq)) return;
    this.#tellOthers(address, { type: EVENTS[type], room, topic, seq, from: seq + 1 }, seat);
  }

  // Returns whether this is further than before.
  #reach(address, seq) {
    const isNew = this.#members.has(address) && seq > (this.#reached.get(address) ?? -1);
    if (isNew) this.#reached.set(address, seq);
    return isNew;
  }

  #tellOthers(address, frame, seat) {
    for (const other of this.#members.get(address) ?? []) if (other !== seat) this.#group.deliver(JSON.stringify(frame), other);
  }

  // The server does not follow it any more: the others enter it again, from where they are.
  #lost(address, seat) {
    const about = { code: "unavailable", message: "Another tab could not enter it." };
    this.#tellOthers(address, { type: "removed", ...JSON.parse(address), ...about }, seat);
    this.#forget(address);
  }

  #forget(address) {
    for (const all of [this.#members, this.#reached, this.#partial]) all.delete(address);
  }

  // Returns whether no other seat uses it, or is about to.
  #leave(address, seat) {
    if (this.#partial.get(address) === seat) this.#lost(address, seat);
    const seats = this.#members.get(address);
    seats?.delete(seat);
    if (!seats?.size) this.#forget(address);
    const isEntering = (command) => command.seat !== seat && command.addresses.includes(address);
    return !seats?.size && ![...this.#commands.values()].some(isEntering);
  }

  // Commands

  /** Send the commands of a seat. */
  send(text, seat) {
    const commands = text.split("\n").filter(Boolean).map((line) => this.#outgoing(JSON.parse(line), seat));
    const lines = commands.filter(Boolean).map((command) => JSON.stringify(command));
    if (lines.length) this.line.send(lines.join("\n"));
  }

  // Returns the command as the server gets it, or null.
  #outgoing(command, seat) {
    const { type, ref } = command;
    if (type === "answer") return this.#answered(command) ? command : null;
    if (LEAVES[type] && !this.#leave(addressOf(command), seat) && !command.for_good) {
      const { room, topic } = command;
      return this.#group.deliver(JSON.stringify({ type: LEAVES[type], room, topic, ref }), seat);
    }
    return ref === undefined ? command : { ...command, ref: this.#register(command, seat) };
  }

  #register({ type, ref, rooms, topics, ...command }, seat) {
    const many = rooms ?? topics;
    const isEntering = /^(join|subscribe)s?$/.test(type);
    const addresses = isEntering ? (many ?? [command]).map(addressOf) : [];
    this.#commands.set(++this.#ref, { seat, ref, addresses, left: many?.length ?? 1 });
    return this.#ref;
  }

  // Frames

  /** Take frames of the server. */
  receive(text) {
    for (const line of text.split("\n").filter(Boolean)) {
      let frame;
      try {
        frame = JSON.parse(line);
      } catch {
        frame = null;
      }
      if (frame === null) return this.#group.deliver(line, this.#own); // the client ends such a line
      this.#incoming(frame, line);
    }
  }

  #incoming(frame, line) {
    switch (frame.type) {
      case "welcome":
        return this.#open(frame, line);
      case "ask":
        return this.#question(frame, line);
      case "ping":
        return this.#group.deliver(line, this.#own);
    }
    const command = this.#commands.get(frame.ref);
    if (command) return this.#reply(frame, command);
    if (frame.type === "error" && frame.code === "token_expired") return this.#group.deliver(line, this.#own);
    const address = addressOf(frame);
    if (frame.type === "removed" || frame.type === "resync") this.#forget(address);
    else if (POSITIONED.includes(frame.type)) this.#reach(address, frame.seq);
    this.#group.deliver(line);
  }

  #open(frame, line) {
    this.#welcome = frame;
    this.#group.opened();
    this.#group.deliver(line, this.#own);
  }

  #reply({ ref, ...frame }, command) {
    if (!--command.left || isForAll(frame)) this.#commands.delete(ref);
    if (frame.type in EVENTS) this.#entered(frame, command.seat);
    else if (frame.code === "unavailable" && command.addresses.includes(addressOf(frame))) this.#lost(addressOf(frame), command.seat);
    this.#group.deliver(JSON.stringify({ ...frame, ref: command.ref }), command.seat);
    if (frame.type === "authenticated") this.#identify(frame);
  }

  // All seats learn who they are now, also those that come later.
  #identify(frame) {
    this.#welcome = { ...this.#welcome, ...frame, type: "welcome" };
    this.#group.deliver(JSON.stringify(frame));
  }

  // Questions of the server: the tab that was visible last answers, if it has a handler.

  #question({ ref }, line) {
    const seats = [...this.#seats].sort(([, one], [, other]) => other - one).map(([seat]) => seat);
    this.#questions.set(ref, { line, seats });
    this.#askNext(ref);
  }

  #askNext(ref) {
    const question = this.#questions.get(ref);
    question.asked = question.seats.shift();
    this.#group.deliver(question.line, question.asked);
    if (!question.seats.length) this.#questions.delete(ref);
  }

  // Returns whether the answer is for the server.
  #answered({ ref, code }) {
    const isOpen = this.#questions.has(ref);
    if (isOpen && code === "no_handler") return this.#askNext(ref);
    this.#questions.delete(ref);
    return true;
  }
}

function leaving({ room, topic }) {
  return topic === undefined ? { type: "leave", room } : { type: "unsubscribe", topic };
}
