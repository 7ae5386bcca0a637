/** The leader's part: many seats use one line to the server. It passes their commands up, and frames down. */

import { addressOf, isForAll, LEAVES } from "./address.js";

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

  #entered(address, seat) {
    this.#members.set(address, (this.#members.get(address) ?? new Set()).add(seat));
    if (!this.#seats.has(seat)) this.#abandon(address, seat); // it has ended meanwhile
  }

  // Returns whether no other seat uses it, or is about to.
  #leave(address, seat) {
    const seats = this.#members.get(address);
    seats?.delete(seat);
    if (!seats?.size) this.#members.delete(address);
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
    if (frame.type === "removed" || frame.type === "resync") this.#members.delete(addressOf(frame));
    this.#group.deliver(line);
  }

  #open(frame, line) {
    this.#welcome = frame;
    this.#group.opened();
    this.#group.deliver(line, this.#own);
  }

  #reply({ ref, ...frame }, command) {
    if (!--command.left || isForAll(frame)) this.#commands.delete(ref);
    if (frame.type === "joined" || frame.type === "subscribed") this.#entered(addressOf(frame), command.seat);
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
