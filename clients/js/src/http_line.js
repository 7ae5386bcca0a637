/**
 * A line of requests: one stream or poll that brings replies and events, and beside it one request at a time that
 * sends commands. The server keeps nothing between two of them: positions and nonces are all the state. docs/http.md
 */

import { isForAll, LEAVES } from "./address.js";
import { wait } from "./backoff.js";
import { Entered } from "./entered.js";
import { keep } from "./http_memory.js";
import { pause } from "./pause.js";

const FIRST_SECONDS = 5; // a proxy that holds a stream back for longer gathers it
const CHANGE_SECONDS = 0.05; // wishes that change together begin one stream
const PAUSE_SECONDS = 0.1; // between two requests with commands: each is a handshake for the server
const EMPTY_SECONDS = 1; // after a stream or poll that brought nothing, and ended sooner
const LIVED_SECONDS = 1; // a stream that is cut after it had brought frames for so long is no failure
const FEW = 100; // rooms and topics; with more of them, changes are gathered for longer
const FITTING = 3 / 4; // of a body that was too large
const MOST = 100;
const MOST_CHARACTERS = 20_000;
const LOST = 1006;
const UNAUTHENTICATED = 4500;
const TOO_LARGE = 413;

const ENTERS = ["join", "joins", "subscribe", "subscribes"];

export class HttpLine {
  name = "http";
  #target;
  #receiver;
  #memory;
  #clock;
  #url;
  #token;
  /** @type {any} */
  #welcome = null;
  #connection = ""; // that of the stream: the server does not send it what this page signals
  #most = Infinity; // characters of a body that enters: a server or proxy has refused more
  #entered = new Entered();
  #openings = new Map(); // ref → a command that enters, with those of its rooms or topics that have no reply yet
  #queue = []; // other commands
  #isSending = false;
  #isServed = false; // whether a response came to its end: that of a stream may be far
  #gone = new AbortController();
  /** @type {AbortController | null} */
  #stream = null; // ends the stream or poll
  #isEmpty = true; // whether the stream or poll has brought nothing new yet
  #isLate = false; // whether a part of what it enters was refused for a while
  #late = 0; // streams in a row to which that happened
  /** @type {any} */
  #socket = null; // the line that has taken over
  #stop = () => {};

  /** `memory`: `isGathered` is kept there: whether a proxy lets no stream through. */
  constructor(url, target, receiver, clock, memory) {
    this.#url = url;
    this.#target = target;
    this.#receiver = receiver;
    this.#clock = clock;
    this.#memory = memory;
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
    return this.#welcome?.user_id;
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
    this.#stop();
    this.#stream?.abort();
    this.#socket?.close();
  }

  /** Go on over a socket that is open: enter everything there, and end the stream. */
  adopt(socket, changed) {
    this.#socket = socket;
    this.name = socket.name;
    const commands = this.#commands();
    if (commands.length) socket.send(commands.join("\n"));
    this.#stream?.abort();
    changed(this.name);
  }

  /** Take a frame that has come over the socket, or its end. */
  take = (text) => {
    try {
      this.#receive(text.split("\n").filter(Boolean));
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
    this.#receiver.onEnd(code, reason, false, this.#isServed);
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
    this.#change();
    return true;
  }

  #identify(token) {
    this.#token = token;
    this.#change();
  }

  // The wish has changed: the next stream begins with it.
  #change() {
    this.#stop();
    const seconds = CHANGE_SECONDS * Math.max(1, this.#entered.size / FEW);
    this.#stop = this.#clock.after(seconds, () => this.#stream?.abort());
  }

  // What was entered is entered again first: an answer to a new wish for the same room would move its position.
  #commands() {
    let size = 0;
    return [...this.#entered.commands(), ...this.#openings.values()].flatMap((command) => {
      const line = JSON.stringify(command);
      size += line.length + 1;
      return size <= this.#most ? line : this.#refuse(command);
    });
  }

  #refuse({ ref, rooms, topics, ...one }) {
    const many = [...(rooms ?? topics ?? [one])];
    const refused = { type: "error", code: "too_large", message: "Too many rooms and topics for plain HTTP.", retryable: false, ref };
    for (const { room, topic } of many) this.#pass({ ...refused, room, topic });
    return [];
  }

  async #flush() {
    if (this.#isSending || !this.#welcome) return;
    this.#isSending = true;
    try {
      while (this.#queue.length && !this.#isGone) {
        await this.#post(this.#next());
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

  async #post(lines) {
    const response = await this.#fetch("", lines, this.#gone.signal);
    const text = await response.text();
    this.#isServed = true;
    this.#receive(text.split("\n").filter(Boolean));
  }

  // The stream

  async #run() {
    await this.#target.url(); // the client opens its storage with it
    if (this.#isGone) return;
    this.#token = await this.#target.token();
    while (!this.#isGone && !this.#socket) {
      this.#stop();
      const stream = (this.#stream = new AbortController());
      const seconds = await this.#serve(stream.signal);
      if (seconds) await pause(this.#clock, seconds, stream.signal);
    }
  }

  // Returns the seconds until the next stream or poll.
  async #serve(signal) {
    const began = this.#clock.now();
    const isGreeted = Boolean(this.#welcome);
    this.#isEmpty = true;
    this.#late = this.#isLate ? this.#late + 1 : 0;
    this.#isLate = false;
    const lines = this.#commands();
    try {
      await (this.#memory.isGathered ? this.#poll(lines, signal) : this.#read(lines, signal));
    } catch (/** @type {any} */ error) {
      if (error.status === TOO_LARGE && lines.length > 1) return this.#fit(lines);
      if (error.pause === undefined && !signal.aborted) throw error;
      return error.pause;
    }
    const isEmpty = this.#isEmpty && isGreeted === Boolean(this.#welcome);
    return isEmpty && this.#clock.now() - began < EMPTY_SECONDS ? EMPTY_SECONDS : 0;
  }

  #fit(lines) {
    this.#most = lines.join("\n").length * FITTING;
    return 0;
  }

  async #read(lines, signal) {
    const request = new AbortController();
    signal.addEventListener("abort", () => request.abort());
    const stopFirst = this.#clock.after(FIRST_SECONDS, () => this.#gather(request));
    let beganAt = NaN; // when the first frame came
    try {
      const response = await this.#fetch("?stream", lines, request.signal);
      for await (const some of linesOf(response.body)) {
        stopFirst();
        if (signal.aborted) return;
        beganAt ||= this.#clock.now();
        this.#receive(some.filter((line) => line.startsWith("data:")).map((line) => line.slice(5)), true);
      }
      this.#isServed = true;
    } catch (/** @type {any} */ error) {
      if (request.signal.aborted) error.pause = 0;
      else if (this.#clock.now() - beganAt >= LIVED_SECONDS) error.pause = wait(0);
      throw error;
    } finally {
      stopFirst();
    }
  }

  #gather(request) {
    this.#memory.isGathered = true;
    keep(this.#memory);
    request.abort();
  }

  // Without a `welcome`, or for a new room, the client cannot wait.
  async #poll(lines, signal) {
    const response = await this.#fetch(this.#welcome ? "?wait=25" : "", lines, signal);
    const text = await response.text();
    this.#isServed = true;
    if (!signal.aborted) this.#receive(text.split("\n").filter(Boolean), true);
  }

  async #fetch(query, lines, signal) {
    const headers = { "Content-Type": "application/x-ndjson" };
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    if (this.#welcome) headers["X-Realtime-User"] = encodeURIComponent(this.#welcome.user_id);
    if (this.#connection) headers["X-Realtime-Connection"] = this.#connection;
    const address = this.#url + (query && this.#url.includes("?") ? query.replace("?", "&") : query);
    const body = lines.join("\n");
    const response = await fetch(address, { method: "POST", headers, body, signal, credentials: "include", cache: "no-store" });
    if (response.ok) return response;
    this.#refused(await response.text());
    throw Object.assign(new Error(`The server answered ${response.status}.`), { status: response.status });
  }

  // A token that has ended meanwhile, and another user, are found by the next attempt of the client.
  #refused(text) {
    const [line] = text.split("\n");
    if (this.#isGone || !line.includes('"disconnect"')) return; // the page of a proxy, too
    const isFinal = !this.#welcome || JSON.parse(line).code !== UNAUTHENTICATED;
    if (isFinal) this.#receiver.onFrame(line);
  }

  // Frames

  #receive(lines, isStream = false) {
    for (const line of lines) {
      if (this.#isGone) return;
      const frame = JSON.parse(line);
      if (isStream && frame.connection) this.#connection = frame.connection;
      if (frame.type === "welcome") this.#greet(frame, line);
      else this.#pass(frame);
    }
  }

  #greet(frame, line) {
    if (frame.guest_token) this.#token = frame.guest_token;
    if (this.#welcome) return;
    this.#welcome = frame;
    this.#receiver.onFrame(line);
    this.#flush();
  }

  #pass(frame) {
    if (frame.type === "error" && frame.retryable && this.#isEntering(frame.ref)) this.#slow(frame);
    this.#answered(frame);
    if (frame.type === "authenticated" && frame.guest_token) this.#identify(frame.guest_token);
    for (const one of this.#entered.take(frame)) {
      this.#isEmpty &&= one.type === "room" || one.type === "presence"; // each stream brings these
      this.#receiver.onFrame(JSON.stringify(one));
    }
  }

  #isEntering(ref) {
    return this.#openings.has(ref) || this.#entered.isAgain(ref);
  }

  // Each stream pays for all of its rooms and topics. If the next one came too early, the same would be refused again.
  #slow(frame) {
    this.#isLate = true;
    frame.retry_after = Math.max(frame.retry_after ?? 0, wait(this.#late));
  }

  // The next stream sends only what has no reply: replies belong to a batch by their order. An error may be for all of it.
  #answered(frame) {
    const command = this.#openings.get(frame.ref);
    const rest = isForAll(frame) ? null : (command?.rooms ?? command?.topics);
    rest?.shift();
    if (!rest?.length) this.#openings.delete(frame.ref);
  }
}

async function* linesOf(body) {
  const decoder = new TextDecoder();
  let rest = "";
  for (const reader = body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield lines;
  }
}
