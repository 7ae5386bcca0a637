/**
 * A line of requests: one stream or poll that brings replies and events, and beside it one request at a time that
 * sends commands. The server keeps nothing between two of them: positions and nonces are all the state. docs/http.md
 */

import { addressesOf, addressOf, isForAll, LEAVES } from "./address.js";
import { Entered } from "./entered.js";
import { HttpEndpoint } from "./http_endpoint.js";
import { HttpStream } from "./http_stream.js";
import { pause } from "./pause.js";

const PAUSE_SECONDS = 0.1; // between two requests with commands: each is a handshake for the server
const MOST = 100;
const MOST_CHARACTERS = 20_000;
const LOST = 1006;
const UNAUTHENTICATED = 4500;

const ENTERS = ["join", "joins", "subscribe", "subscribes"];

export class HttpLine {
  name = "http";
  #target;
  #receiver;
  #clock;
  #endpoint;
  #stream;
  #entered = new Entered();
  #openings = new Map(); // ref → a command that enters, with those of its rooms or topics that have no reply yet
  #late = new Set(); // the addresses that this stream has refused for a while
  #queue = []; // other commands
  #isSending = false;
  #gone = new AbortController();
  /** @type {any} */
  #socket = null; // the line that has taken over

  /** `memory` is what the tab remembers of its network. */
  constructor(url, target, receiver, clock, memory) {
    this.#target = target;
    this.#receiver = receiver;
    this.#clock = clock;
    this.#endpoint = new HttpEndpoint(url, (text) => this.#refused(text));
    this.#stream = new HttpStream(this, this.#endpoint, clock, memory);
    target.signal.addEventListener("abort", () => this.close(), { signal: this.#gone.signal });
    this.#run().catch((error) => this.#fail(error));
  }

  get bufferedAmount() {
    if (this.#socket) return this.#socket.bufferedAmount;
    return this.#queue.reduce((size, line) => size + line.length, 0);
  }

  // One stream enters all that the client wishes.
  get batches() {
    return this.#socket ? this.#socket.batches : Infinity;
  }

  get userId() {
    return this.#endpoint.user;
  }

  send(text) {
    if (this.#isGone) return;
    const rest = text.split("\n").filter((line) => line && !this.#handled(line));
    if (this.#socket) {
      if (rest.length) this.#socket.send(rest.join("\n"));
      return;
    }
    this.#queue.push(...rest);
    this.#flush();
  }

  close() {
    this.#gone.abort();
    this.#stream.end();
    this.#socket?.close();
  }

  /** Go on over a socket that is open: enter everything there, and end the stream. */
  adopt(socket, changed) {
    this.#socket = socket;
    this.name = socket.name;
    const commands = this.commands();
    if (commands.length) socket.send(commands.join("\n"));
    this.#stream.end();
    changed(this.name);
  }

  /** Take a frame that has come over the socket, or its end. */
  take = (text) => {
    try {
      this.receive(text.split("\n").filter(Boolean));
    } catch (error) {
      this.#fail(error);
    }
  };
  end = (code, reason) => this.#end(code, reason);

  get #isGone() {
    return this.#gone.signal.aborted;
  }

  #end(code, reason) {
    if (this.#isGone) return;
    this.close();
    this.#receiver.onEnd(code, reason, false, this.#endpoint.isServed);
  }

  #fail(/** @type {any} */ error) {
    this.#end(LOST, String(error?.message ?? error));
  }

  // Commands of the client

  // Returns whether the command needs no request of its own.
  #handled(line) {
    const command = JSON.parse(line);
    if (command.type === "auth" && command.token) this.#identify(command.token);
    const { room, topic, ref } = command;
    if (LEAVES[command.type] && !command.for_good && !this.#socket) {
      if (this.#entered.leave(command)) this.#change();
      this.#receiver.onFrame(JSON.stringify({ type: LEAVES[command.type], room, topic, ref }));
      return true;
    }
    if (LEAVES[command.type]) this.#entered.leave(command);
    if (!ENTERS.includes(command.type)) return !this.#socket && (command.type === "pong" || command.type === "answer");
    this.#openings.set(ref, command);
    if (this.#socket) return false;
    this.#stream.change(this.#entered.size, addressesOf(command).every((address) => this.#late.has(address)));
    return true;
  }

  #identify(token) {
    this.#endpoint.token = token;
    this.#change();
  }

  #change() {
    this.#stream.change(this.#entered.size);
  }

  /**
   * Return the commands that enter all that the client wishes, in `most` characters.
   * What was entered is entered again first: an answer to a new wish for the same room would move its position.
   */
  commands(most = Infinity) {
    let size = 0;
    this.#late.clear();
    return [...this.#entered.commands(), ...this.#openings.values()].flatMap((command) => {
      const line = JSON.stringify(command);
      size += line.length + 1;
      return size <= most ? line : this.#refuse(command);
    });
  }

  #refuse({ ref, rooms, topics, ...one }) {
    const many = [...(rooms ?? topics ?? [one])];
    const refused = { type: "error", code: "too_large", message: "Too many rooms and topics for plain HTTP.", retryable: false, ref };
    for (const { room, topic } of many) this.#pass({ ...refused, room, topic });
    return [];
  }

  async #flush() {
    if (this.#isSending || !this.userId) return;
    this.#isSending = true;
    try {
      while (this.#queue.length && !this.#isGone) {
        this.receive(await this.#endpoint.ask("", this.#next(), this.#gone.signal));
        await pause(this.#clock, PAUSE_SECONDS, this.#gone.signal);
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#isSending = false;
  }

  #next() {
    let [size, count] = [0, 0];
    while (count < Math.min(MOST, this.#queue.length) && (!count || size + this.#queue[count].length < MOST_CHARACTERS)) size += this.#queue[count++].length;
    return this.#queue.splice(0, count);
  }

  async #run() {
    await this.#target.url(); // the client opens its storage with it
    if (this.#isGone) return;
    this.#endpoint.token = await this.#target.token();
    await this.#stream.run();
  }

  // A token that has ended meanwhile, and another user, are found by the next attempt of the client.
  #refused(text) {
    const [line] = text.split("\n");
    if (this.#isGone || !line.includes('"disconnect"')) return; // the page of a proxy, too
    const isFinal = !this.userId || JSON.parse(line).code !== UNAUTHENTICATED;
    if (isFinal) this.#receiver.onFrame(line);
  }

  // Frames

  /** Take frames. `isStream`: of the stream or poll. */
  receive(lines, isStream = false) {
    for (const line of lines) {
      if (this.#isGone) return;
      const frame = JSON.parse(line);
      if (isStream && frame.connection) this.#endpoint.connection = frame.connection;
      if (frame.type === "welcome") this.#greet(frame, line);
      else this.#pass(frame);
    }
  }

  #greet(frame, line) {
    if (frame.guest_token) this.#endpoint.token = frame.guest_token;
    if (this.userId) return;
    this.#endpoint.user = frame.user_id;
    this.#receiver.onFrame(line);
    this.#flush();
  }

  #pass(frame) {
    if (frame.type === "error" && frame.retryable && !this.#socket && this.#isEntering(frame.ref)) this.#slow(frame);
    this.#answered(frame);
    if (frame.type === "authenticated" && frame.guest_token) this.#identify(frame.guest_token);
    for (const one of this.#entered.take(frame)) {
      this.#stream.isEmpty &&= one.type === "room" || one.type === "presence"; // each stream brings these
      this.#receiver.onFrame(JSON.stringify(one));
    }
  }

  #isEntering(ref) {
    return this.#openings.has(ref) || this.#entered.isAgain(ref);
  }

  #slow(frame) {
    frame.retry_after = this.#stream.refused(frame.retry_after);
    const command = this.#openings.get(frame.ref);
    const all = command ? addressesOf(command) : this.#entered.addresses(frame.ref);
    for (const address of isForAll(frame) ? all : [addressOf(frame)]) this.#late.add(address);
  }

  // The next stream sends only what has no reply: replies belong to a batch by their order. An error may be for all of it.
  #answered(frame) {
    const command = this.#openings.get(frame.ref);
    const rest = isForAll(frame) ? null : (command?.rooms ?? command?.topics);
    rest?.shift();
    if (!rest?.length) this.#openings.delete(frame.ref);
  }
}
