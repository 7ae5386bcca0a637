/**
 * A line of requests: one stream or poll that brings replies and events, and beside it one request at a time that
 * sends commands. The server keeps nothing between two of them: positions and nonces are all the state. docs/http.md
 */

import { isForAll, LEAVES } from "./address.js";
import { Entered } from "./entered.js";
import { pause } from "./pause.js";

const FIRST_SECONDS = 5; // a proxy that holds a stream back for longer gathers it
const CHANGE_SECONDS = 0.05; // wishes that change together begin one stream
const PAUSE_SECONDS = 0.1; // between two requests with commands: each is a handshake for the server
const EMPTY_SECONDS = 1; // after a stream or poll that brought nothing, and ended sooner
const MOST = 100;
const MOST_CHARACTERS = 20_000;
const LOST = 1006;
const UNAUTHENTICATED = 4500;

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
  #entered = new Entered();
  #openings = new Map(); // ref → a command that enters, with those of its rooms or topics that have no reply yet
  #queue = []; // other commands
  #isSending = false;
  #isServed = false; // whether a response came to its end: that of a stream may be far
  #gone = new AbortController();
  /** @type {AbortController | null} */
  #stream = null; // ends the stream or poll
  #isEmpty = true; // whether the stream or poll has brought nothing yet
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
    const commands = [...this.#commands()];
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
    this.#stop = this.#clock.after(CHANGE_SECONDS, () => this.#stream?.abort());
  }

  *#commands() {
    for (const command of this.#entered.commands()) yield JSON.stringify(command);
    for (const command of this.#openings.values()) yield JSON.stringify(command);
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
      const began = this.#clock.now();
      const isGreeted = Boolean(this.#welcome);
      this.#isEmpty = true;
      try {
        await this.#read(stream);
      } catch (error) {
        if (!stream.signal.aborted) throw error;
      }
      const isEmpty = this.#isEmpty && isGreeted === Boolean(this.#welcome);
      if (isEmpty && this.#clock.now() - began < EMPTY_SECONDS) await pause(this.#clock, EMPTY_SECONDS, stream.signal);
    }
  }

  async #read({ signal }) {
    const lines = [...this.#commands()];
    if (this.#memory.isGathered) return this.#poll(lines, signal);
    const request = new AbortController();
    signal.addEventListener("abort", () => request.abort());
    const stopFirst = this.#clock.after(FIRST_SECONDS, () => {
      this.#memory.isGathered = true;
      request.abort();
    });
    try {
      const response = await this.#fetch("?stream", lines, request.signal);
      for await (const some of linesOf(response.body)) {
        stopFirst();
        if (signal.aborted) return;
        this.#receive(some.filter((line) => line.startsWith("data:")).map((line) => line.slice(5)));
      }
      this.#isServed = true;
    } catch (error) {
      if (!request.signal.aborted) throw error;
    } finally {
      stopFirst();
    }
  }

  // Without a `welcome`, or for a new room, the client cannot wait.
  async #poll(lines, signal) {
    const response = await this.#fetch(this.#welcome ? "?wait=25" : "", lines, signal);
    const text = await response.text();
    this.#isServed = true;
    if (!signal.aborted) this.#receive(text.split("\n").filter(Boolean));
  }

  async #fetch(query, lines, signal) {
    const headers = { "Content-Type": "application/x-ndjson" };
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    if (this.#welcome) headers["X-Realtime-User"] = encodeURIComponent(this.#welcome.user_id);
    const address = this.#url + (query && this.#url.includes("?") ? query.replace("?", "&") : query);
    const body = lines.join("\n");
    const response = await fetch(address, { method: "POST", headers, body, signal, credentials: "include", cache: "no-store" });
    if (response.ok) return response;
    this.#refused(await response.text());
    throw new Error(`The server answered ${response.status}.`);
  }

  // A token that has ended meanwhile, and another user, are found by the next attempt of the client.
  #refused(text) {
    const [line] = text.split("\n");
    const isFinal = !this.#welcome || JSON.parse(line).code !== UNAUTHENTICATED;
    if (isFinal && line.includes('"disconnect"') && !this.#isGone) this.#receiver.onFrame(line);
  }

  // Frames

  #receive(lines) {
    for (const line of lines) {
      if (this.#isGone) return;
      const frame = JSON.parse(line);
      if (frame.type === "welcome") this.#greet(frame, line);
      else if (frame.type !== "typing" || frame.user_id !== this.userId) this.#pass(frame);
    }
  }

  #greet(frame, line) {
    if (frame.guest_token) this.#token = frame.guest_token;
    const isFirst = !this.#welcome;
    this.#welcome = frame;
    if (!isFirst) return;
    this.#receiver.onFrame(line);
    this.#flush();
  }

  #pass(frame) {
    this.#answered(frame);
    if (frame.type === "authenticated" && frame.guest_token) this.#identify(frame.guest_token);
    for (const one of this.#entered.take(frame)) {
      this.#isEmpty &&= one.type === "room" || one.type === "presence"; // each stream brings these
      this.#receiver.onFrame(JSON.stringify(one));
    }
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
