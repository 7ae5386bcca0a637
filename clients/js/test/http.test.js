/** Plain HTTP: when it takes over from sockets, how a line of requests goes on, and how it goes back. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { http } from "../src/http.js";
import { Timers } from "./timers.js";
import { until } from "./until.js";

const WELCOME = { type: "welcome", user_id: "1", username: "ada", guest_token: undefined };
const URL_ = "https://example.com/realtime/http";

let clock;
let requests; // the fetches, in order
let sockets;
let attempts;
let changes;
let isLive;
let wrapper;

/** A request that the test answers. */
class Exchange {
  constructor(address, { headers, body, signal }) {
    this.address = address;
    this.headers = headers;
    this.commands = body.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    this.isAborted = false;
    this.response = new Promise((resolve, reject) => {
      this.respond = resolve;
      this.fail = reject;
    });
    signal.addEventListener("abort", () => {
      this.isAborted = true;
      this.fail(new DOMException("aborted", "AbortError"));
      this.stream?.error(new DOMException("aborted", "AbortError"));
    });
  }

  /** Answer as a stream that stays open. */
  open(...frames) {
    const body = new ReadableStream({ start: (stream) => (this.stream = stream) });
    this.respond(new Response(body));
    this.tell(...frames);
  }

  tell(...frames) {
    for (const frame of frames) this.stream.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(frame)}\n\n`));
  }

  close() {
    this.stream.close();
  }

  /** Answer at once, as to commands and polls. */
  answer(...frames) {
    this.respond(new Response(frames.map((frame) => `${JSON.stringify(frame)}\n`).join("")));
  }

  refuse(status, frame) {
    this.respond(new Response(JSON.stringify(frame), { status }));
  }
}

class Attempt {
  frames = [];
  ends = [];
  #signal = new AbortController();

  constructor() {
    const url = async () => ((this.isAsked = true), new URL("wss://example.com/ws/"));
    const target = { url, token: async () => null, subprotocols: [], signal: this.#signal.signal };
    const onFrame = (text) => this.frames.push(...text.split("\n").map((line) => JSON.parse(line)));
    this.line = wrapper.open(target, { onFrame, onEnd: (...end) => this.ends.push(end) });
    attempts.push(this);
  }

  send(...commands) {
    this.line.send(commands.map((command) => JSON.stringify(command)).join("\n"));
  }

  close() {
    this.#signal.abort();
  }

  get types() {
    return this.frames.map(({ type }) => type);
  }
}

const socketTransport = {
  open: (target, receiver) => {
    const socket = { name: "websocket", bufferedAmount: 3, sent: [], isClosed: false };
    socket.send = (text) => socket.sent.push(...text.split("\n").map((line) => JSON.parse(line)));
    socket.close = () => (socket.isClosed = true);
    socket.tell = (...frames) => receiver.onFrame(frames.map((frame) => JSON.stringify(frame)).join("\n"));
    socket.raw = receiver.onFrame;
    socket.end = receiver.onEnd;
    sockets.push(socket);
    return socket;
  },
};

beforeEach(() => {
  clock = new Timers();
  [requests, sockets, attempts, changes, isLive] = [[], [], [], [], true];
  const memory = new Map();
  globalThis.sessionStorage = { getItem: (key) => memory.get(key) ?? null, setItem: (key, text) => memory.set(key, text) };
  globalThis.fetch = (address, options = {}) => {
    if (!options.method) return Promise.resolve(new Response("{}", { status: isLive ? 200 : 503 }));
    requests.push(new Exchange(address, options));
    return requests.at(-1).response;
  };
  wrapper = make();
});

afterEach(() => {
  for (const attempt of attempts) attempt.close();
  delete globalThis.sessionStorage;
});

const make = () => http({ url: URL_ })(socketTransport, { clock, changed: (name) => changes.push(name) });
const request = async (number) => (await until(() => requests.length > number), requests[number]);
const settled = () => new Promise((resolve) => setTimeout(resolve, 5));

/** Fail as a network that blocks sockets. */
async function block(code = 1006) {
  for (let number = 0; number < 3; number++) {
    new Attempt();
    sockets.at(-1).end(code, "");
  }
  await settled();
}

/** An attempt over HTTP whose stream has sent its welcome. */
async function opened() {
  await block();
  const attempt = new Attempt();
  (await request(0)).open(WELCOME);
  await until(() => attempt.frames.length);
  return attempt;
}

/** The same in a room. */
async function inRoom() {
  const attempt = await opened();
  attempt.send({ type: "joins", rooms: [{ room: "r" }], ref: 1 });
  clock.pass(0.1);
  const stream = await request(1);
  stream.open(WELCOME, { type: "joined", room: "r", through: 2, epoch: "e", recovered: false, messages: [], ref: 1 });
  await until(() => attempt.types.includes("joined"));
  return { attempt, stream };
}

test("three attempts that end early are followed by requests", async () => {
  const attempt = await opened();
  assert.equal(sockets.length, 3);
  assert.equal(attempt.line.name, "http");
  assert.equal(requests[0].address, `${URL_}?stream`);
  assert.deepEqual(attempt.types, ["welcome"]);
});

test("a refusal of the server is no blocked network", async () => {
  await block(4013);
  new Attempt();
  assert.equal(sockets.length, 4);
});

test("while the site does not answer, sockets are tried on", async () => {
  isLive = false;
  await block();
  new Attempt();
  assert.equal(sockets.length, 4);
});

test("a socket that lives for some seconds is not blocked", async () => {
  for (let number = 0; number < 4; number++) {
    new Attempt();
    sockets.at(-1).tell(WELCOME);
    clock.pass(6);
    sockets.at(-1).end(1006, "");
  }
  await settled();
  new Attempt();
  assert.equal(sockets.length, 5);
});

test("an appliance that cuts right after the handshake blocks sockets", async () => {
  for (let number = 0; number < 3; number++) {
    new Attempt();
    sockets.at(-1).tell(WELCOME);
    clock.pass(0.2);
    sockets.at(-1).end(1006, "");
  }
  await settled();
  new Attempt();
  assert.equal((await request(0)).commands.length, 0);
});

test("a clock that is set back does not keep a tab from sockets", async () => {
  globalThis.sessionStorage.setItem("realtime:http", JSON.stringify({ until: Date.now() + 1e9 }));
  wrapper = make();
  new Attempt();
  assert.equal(sockets.length, 1);
});

test("the next page of this tab does not find out again", async () => {
  await opened();
  wrapper = make();
  new Attempt();
  assert.equal(sockets.length, 3);
});

test("commands wait for the welcome, and are sent one request after the other", async () => {
  await block();
  const attempt = new Attempt();
  attempt.send({ type: "message", room: "r", content: "a", ref: 1 });
  (await request(0)).open(WELCOME);
  const first = await request(1);
  attempt.send({ type: "message", room: "r", content: "b", ref: 2 }, { type: "ping", ref: 3 });
  assert.equal(requests.length, 2);
  assert.equal(first.headers["X-Realtime-User"], "1");
  first.answer(WELCOME, { type: "ack", seq: 1, ref: 1 });
  await until(() => attempt.types.includes("ack"));
  clock.pass(0.1);
  assert.deepEqual((await request(2)).commands.map(({ ref }) => ref), [2, 3]);
});

test("a wish begins the next stream, whose welcome is not told again", async () => {
  const { attempt } = await inRoom();
  assert.ok(requests[0].isAborted);
  assert.deepEqual(attempt.types, ["welcome", "joined"]);
});

test("the next stream brings what was missed as events", async () => {
  const { attempt, stream } = await inRoom();
  stream.tell({ type: "message", room: "r", seq: 3, id: 3, content: "c" });
  await until(() => attempt.types.includes("message"));
  stream.close();
  const next = await request(2);
  assert.deepEqual(next.commands[0].rooms, [{ room: "r", since: { seq: 3, epoch: "e" } }]);
  const messages = [{ id: 4, seq: 4, content: "d" }, { id: 1, seq: 1, changed_seq: 6, deleted: true }];
  next.open(WELCOME, { type: "joined", room: "r", through: 6, epoch: "e", recovered: true, messages, members: [], count: 0, ref: next.commands[0].ref });
  await until(() => attempt.types.includes("room"));
  assert.deepEqual(attempt.frames.slice(3, 5), [
    { type: "message", room: "r", id: 4, seq: 4, content: "d", from: 4 },
    { type: "changed", room: "r", seq: 6, message: messages[1], from: 5 },
  ]);
});

test("what cannot be resumed is told as a resync, and a right that has ended as removed", async () => {
  const { attempt, stream } = await inRoom();
  stream.close();
  const { ref } = (await request(2)).commands[0];
  requests[2].open(WELCOME, { type: "joined", room: "r", through: 900, epoch: "f", recovered: false, messages: [], ref });
  await until(() => attempt.types.includes("resync"));
  attempt.send({ type: "join", room: "r", ref: 2 });
  clock.pass(0.1);
  (await request(3)).open(WELCOME, { type: "joined", room: "r", through: 900, epoch: "f", recovered: false, messages: [], ref: 2 });
  await until(() => attempt.types.filter((type) => type === "joined").length === 2);
  requests[3].close();
  const last = await request(4);
  last.open(WELCOME, { type: "error", code: "permission_denied", room: "r", retryable: false, ref: last.commands[0].ref });
  await until(() => attempt.types.includes("removed"));
});

test("a room that was left is not entered again", async () => {
  const { attempt } = await inRoom();
  attempt.send({ type: "leave", room: "r", ref: 5 });
  assert.deepEqual(attempt.frames.at(-1), { type: "left", room: "r", ref: 5 });
  clock.pass(0.1);
  assert.deepEqual((await request(2)).commands, []);
});

test("a proxy that gathers a stream gets polls", async () => {
  await block();
  const attempt = new Attempt();
  await request(0);
  clock.pass(6);
  assert.equal((await request(1)).address, URL_);
  requests[1].answer(WELCOME);
  assert.equal((await request(2)).address, `${URL_}?wait=25`);
  requests[2].answer(WELCOME, { type: "notice", text: "hi" });
  await until(() => attempt.types.includes("notice"));
});

test("a request that is cut ends the line", async () => {
  const { attempt, stream } = await inRoom();
  stream.stream.error(new TypeError("network error"));
  await until(() => attempt.ends.length);
  assert.deepEqual([attempt.ends[0][0], attempt.ends[0][3]], [1006, false]);
});

test("a line that was cut after an answer says that the server has served it", async () => {
  const { attempt, stream } = await inRoom();
  attempt.send({ type: "message", room: "r", content: "a", ref: 2 });
  (await request(2)).answer(WELCOME, { type: "ack", seq: 3, ref: 2 });
  await until(() => attempt.types.includes("ack"));
  stream.stream.error(new TypeError("network error"));
  await until(() => attempt.ends.length);
  assert.deepEqual([attempt.ends[0][0], attempt.ends[0][3]], [1006, true]);
});

test("a stream that is cut again and again is begun again after the same short pause", async () => {
  const { attempt } = await inRoom();
  for (let number = 1; number < 8; number++) {
    clock.pass(3);
    requests.at(-1).stream.error(new TypeError("network error"));
    await settled();
    clock.pass(1.5);
    const next = await request(number + 1);
    const about = { room: "r", through: 2, epoch: "e", recovered: true, messages: [], members: [], count: 0 };
    next.open(WELCOME, { type: "joined", ...about, ref: next.commands[0].ref });
    await settled();
  }
  assert.deepEqual(attempt.ends, []);
});

test("a stream that cannot be begun again ends the line", async () => {
  const { attempt } = await inRoom();
  clock.pass(3);
  requests.at(-1).stream.error(new TypeError("network error"));
  await settled();
  clock.pass(1.5);
  (await request(2)).fail(new TypeError("network error"));
  await until(() => attempt.ends.length);
});

test("commands name the connection of the newest stream", async () => {
  await block();
  const attempt = new Attempt();
  (await request(0)).open({ ...WELCOME, connection: "a" });
  await until(() => attempt.frames.length);
  attempt.send({ type: "signal", room: "r", data: {} });
  assert.equal((await request(1)).headers["X-Realtime-Connection"], "a");
  requests[1].answer({ ...WELCOME, connection: "of the request" });
  await settled();
  clock.pass(0.2);
  attempt.send({ type: "signal", room: "r", data: {} });
  assert.equal((await request(2)).headers["X-Realtime-Connection"], "a");
});

test("a stream that is too large goes on with what fits, and the rest is refused", async () => {
  const { attempt } = await inRoom();
  const rooms = (name) => Array.from({ length: 10 }, (_, number) => ({ room: `${name} ${number}` }));
  attempt.send({ type: "joins", rooms: rooms("a"), ref: 7 }, { type: "joins", rooms: rooms("b"), ref: 8 });
  clock.pass(0.1);
  (await request(2)).refuse(413, { type: "error", code: "too_large" });
  const next = await request(3);
  assert.deepEqual(next.commands.map(({ ref }) => ref), ["again 0", 7]);
  const refused = attempt.frames.filter(({ code }) => code === "too_large");
  assert.deepEqual(refused.map(({ room, ref, retryable }) => [room, ref, retryable]), rooms("b").map(({ room }) => [room, 8, false]));
  assert.deepEqual(attempt.ends, []);
});

test("a stream that is too large for a proxy goes on with what fits", async () => {
  const { attempt } = await inRoom();
  attempt.send({ type: "joins", rooms: [{ room: "a long name" }], ref: 7 });
  clock.pass(0.1);
  (await request(2)).respond(new Response("<html>\n413 Request Entity Too Large", { status: 413 }));
  const next = await request(3);
  assert.deepEqual(next.commands.map(({ ref }) => ref), ["again 0"]);
  assert.deepEqual(attempt.ends, []);
});

test("many rooms are entered by one stream, and a later change waits for others of its kind", async () => {
  const attempt = await opened();
  assert.equal(attempt.line.batches, Infinity);
  const names = Array.from({ length: 1000 }, (_, number) => `r${number}`);
  for (let at = 0; at < 1000; at += 100) attempt.send({ type: "joins", rooms: names.slice(at, at + 100).map((room) => ({ room })), ref: at });
  clock.pass(0.1);
  const entering = await request(1);
  assert.equal(entering.commands.length, 10);
  entering.open(WELCOME, ...names.map((room, at) => ({ type: "joined", room, through: 1, epoch: "e", messages: [], ref: at - (at % 100) })));
  await until(() => attempt.frames.length === 1001);
  attempt.send({ type: "join", room: "one", ref: 5000 });
  clock.pass(0.4);
  await settled();
  assert.equal(requests.length, 2);
  clock.pass(0.2);
  const next = await request(2);
  assert.equal(next.commands.at(-1).room, "one");
  next.refuse(413, { type: "error", code: "too_large" });
  assert.equal((await request(3)).commands.length, 7);
  const told = attempt.frames.slice(1001).map(({ type, room, code }) => `${type} ${room} ${code}`);
  const removed = names.slice(700).map((room) => `removed ${room} too_large`);
  assert.deepEqual(told, [...removed, "error one too_large"]);
});

test("another user of the cookie ends the line, and nothing is told", async () => {
  const attempt = await opened();
  attempt.send({ type: "message", room: "r", content: "a", ref: 1 });
  (await request(1)).refuse(409, { type: "error", code: "identity_changed" });
  await until(() => attempt.ends.length);
  assert.deepEqual(attempt.types, ["welcome"]);
});

test("a limit of the server is told with its pause", async () => {
  await block();
  const attempt = new Attempt();
  (await request(0)).refuse(429, { type: "disconnect", code: 4029, reconnect: true, retry_after: 9 });
  await until(() => attempt.ends.length);
  assert.equal(attempt.frames[0].retry_after, 9);
});

test("a socket that answers takes over, with all positions", async () => {
  const { attempt, stream } = await inRoom();
  clock.pass(61);
  const socket = sockets.at(-1);
  assert.equal(sockets.length, 4);
  socket.tell(WELCOME);
  assert.deepEqual(socket.sent, [{ type: "ping" }]);
  socket.tell({ type: "pong" });
  clock.pass(11);
  assert.deepEqual(changes, ["websocket"]);
  assert.deepEqual([attempt.line.name, attempt.line.batches], ["websocket", undefined]);
  assert.deepEqual(socket.sent[1].rooms, [{ room: "r", since: { seq: 2, epoch: "e" } }]);
  assert.ok(stream.isAborted);
  socket.tell({ type: "message", room: "r", seq: 3, id: 3, content: "c" });
  attempt.send({ type: "message", room: "r", content: "d", ref: 9 });
  assert.equal(attempt.types.at(-1), "message");
  assert.equal(socket.sent.at(-1).ref, 9);
  socket.end(1006, "");
  assert.equal(attempt.ends[0][0], 1006);
  new Attempt();
  assert.equal(sockets.length, 5);
});

test("a socket that fails is tried again later, and the stream goes on", async () => {
  const { stream } = await inRoom();
  clock.pass(61);
  sockets.at(-1).tell(WELCOME);
  sockets.at(-1).end(1006, "");
  clock.pass(61);
  assert.equal(sockets.length, 4);
  clock.pass(60);
  assert.equal(sockets.length, 5);
  assert.ok(!stream.isAborted);
});

test("closing ends all requests and timers", async () => {
  const { attempt, stream } = await inRoom();
  clock.pass(61);
  attempt.close();
  assert.ok(stream.isAborted);
  assert.ok(sockets.at(-1).isClosed);
  await settled();
  assert.equal(clock.size, 0);
  assert.deepEqual(attempt.ends, []);
});

test("a batch that is answered in part begins the next stream with the rest", async () => {
  const { attempt, stream } = await inRoom();
  const rooms = ["a", "b", "c"].map((room) => ({ room }));
  attempt.send({ type: "joins", rooms, ref: 7 });
  clock.pass(0.1);
  const second = await request(2);
  const joined = (room) => ({ type: "joined", room, through: 1, epoch: "e", recovered: false, messages: [], ref: 7 });
  second.open(WELCOME, joined("a"), { type: "error", code: "permission_denied", room: "b", ref: 7 });
  await until(() => attempt.frames.some(({ room }) => room === "b"));
  attempt.send({ type: "subscribe", topic: "t", ref: 8 });
  clock.pass(0.1);
  const third = await request(3);
  const entering = third.commands.filter(({ ref }) => ref === 7);
  assert.deepEqual(entering.map((command) => command.rooms), [[{ room: "c" }]]);
  assert.ok(stream.isAborted);
});

test("a batch that is refused as a whole is not sent again", async () => {
  const { attempt } = await inRoom();
  attempt.send({ type: "joins", rooms: [{ room: "a" }, { room: "b" }], ref: 7 });
  clock.pass(0.1);
  const second = await request(2);
  second.open(WELCOME, { type: "error", code: "rate_limited", retryable: true, ref: 7 });
  await until(() => attempt.types.includes("error"));
  second.close();
  assert.ok(!(await request(3)).commands.some(({ ref }) => ref === 7));
});

test("a line whose rooms cannot be entered again ends", async () => {
  const { attempt, stream } = await inRoom();
  stream.close();
  const next = await request(2);
  next.open(WELCOME, { type: "error", code: "unknown_type", retryable: false, ref: next.commands[0].ref });
  await until(() => attempt.ends.length);
  assert.equal(attempt.ends[0][0], 1006);
});

test("a batch that the server could not enter now is entered again by the client, after growing pauses", async () => {
  const { attempt } = await inRoom();
  const late = (ref) => ({ type: "error", code: "rate_limited", message: "Slow down.", retryable: true, retry_after: 0.2, ref });
  const removed = () => attempt.frames.filter(({ type }) => type === "removed");
  requests[1].close();
  const next = await request(2);
  next.open(WELCOME, late(next.commands[0].ref));
  await until(() => removed().length);
  assert.deepEqual(removed(), [{ type: "removed", code: "unavailable", message: "Slow down.", retryable: true, retry_after: 2, room: "r" }]);
  attempt.send({ type: "join", room: "r", since: { seq: 2, epoch: "e" }, ref: 9 });
  clock.pass(2);
  const third = await request(3);
  assert.deepEqual(third.commands, [{ type: "join", room: "r", since: { seq: 2, epoch: "e" }, ref: 9 }]);
  third.open(WELCOME, late(9));
  await until(() => attempt.types.includes("error"));
  assert.equal(attempt.frames.at(-1).retry_after.toFixed(3), "4.000");
  assert.deepEqual(attempt.ends, []);
});

test("all that one stream refuses for a while is entered by one later stream, and a new wish at once", async () => {
  const { attempt } = await inRoom();
  attempt.send({ type: "joins", rooms: [{ room: "a" }, { room: "b" }], ref: 7 });
  clock.pass(0.1);
  const refuse = (stream, room, retry_after) => stream.tell({ type: "error", room, code: "rate_limited", retryable: true, retry_after, ref: 7 });
  const second = await request(2);
  second.open(WELCOME);
  refuse(second, "a", 0.5);
  refuse(second, "b", 4);
  await until(() => attempt.types.filter((type) => type === "error").length === 2);
  assert.deepEqual(attempt.frames.slice(-2).map(({ retry_after }) => retry_after), [2, 4]);
  clock.pass(2.5);
  attempt.send({ type: "join", room: "a", ref: 8 });
  clock.pass(1);
  attempt.send({ type: "join", room: "b", ref: 9 });
  await settled();
  assert.equal(requests.length, 3);
  clock.pass(1);
  const third = await request(3);
  assert.deepEqual(third.commands.map(({ ref }) => ref), ["again 0", 8, 9]);
  third.open(WELCOME, { type: "error", room: "a", code: "rate_limited", retryable: true, ref: 8 });
  await until(() => attempt.types.filter((type) => type === "error").length === 3);
  attempt.send({ type: "join", room: "a", ref: 10 }, { type: "join", room: "new", ref: 11 });
  clock.pass(0.1);
  assert.deepEqual((await request(4)).commands.map(({ ref }) => ref), ["again 0", 9, 10, 11]);
});

test("a room that is refused for a while keeps its position, and the others of its batch go on", async () => {
  const { attempt } = await inRoom();
  attempt.send({ type: "join", room: "s", ref: 7 });
  clock.pass(0.1);
  const joined = (room, ref) => ({ type: "joined", room, through: 2, epoch: "e", recovered: true, messages: [], members: [], ref });
  (await request(2)).open(WELCOME, joined("r", "again 0"), joined("s", 7));
  await until(() => attempt.types.filter((type) => type === "joined").length === 2);
  requests[2].close();
  const error = { type: "error", room: "r", code: "unavailable", message: "Later.", retryable: true, retry_after: 3, ref: "again 0" };
  (await request(3)).open(WELCOME, error, joined("s", "again 0"), { type: "message", room: "s", seq: 3, id: 3, content: "c" });
  await until(() => attempt.types.at(-1) === "message");
  const removed = attempt.frames.filter(({ type }) => type === "removed");
  assert.deepEqual(removed.map(({ room, code, retry_after }) => [room, code, retry_after]), [["r", "unavailable", 3]]);
  assert.ok(!attempt.types.includes("resync"));
});

test("the address of the socket is asked over HTTP too, as the storage is opened with it", async () => {
  const attempt = await opened();
  assert.ok(attempt.isAsked);
});

test("a site is rendered where there is no address", () => {
  http()(socketTransport, { clock, http: "/realtime/http" });
});

/** In a room, over a socket that has taken over. */
async function adopted() {
  const { attempt } = await inRoom();
  clock.pass(61);
  const socket = sockets.at(-1);
  socket.tell(WELCOME, { type: "pong" });
  clock.pass(11);
  assert.equal(attempt.line.name, "websocket");
  return { attempt, socket };
}

for (const text of ["{", "null", '{"type":"joined","room":"r","ref":"again 0","recovered":true}', '{"type":"error","ref":"again 0"}'])
  test(`the line ends if the socket that has taken over sends ${text}`, async () => {
    const { attempt, socket } = await adopted();
    socket.raw(text);
    assert.deepEqual([attempt.ends.length, socket.isClosed], [1, true]);
  });

for (const text of ["{", "null", "5"])
  test(`a socket that is tried and sends ${text} is let go`, async () => {
    const { attempt } = await inRoom();
    clock.pass(61);
    const socket = sockets.at(-1);
    socket.raw(text);
    assert.deepEqual([attempt.ends.length, socket.isClosed], [0, true]);
    clock.pass(121);
    assert.equal(sockets.length, 5);
  });

test("what a socket that has taken over refuses for a while is entered when the server says", async () => {
  const { attempt, socket } = await adopted();
  attempt.send({ type: "join", room: "s", ref: 9 });
  const error = { type: "error", room: "s", code: "rate_limited", retryable: true, retry_after: 0.5, ref: 9 };
  socket.tell(error);
  assert.deepEqual(attempt.frames.at(-1), error);
});

test("a socket that takes over gets no empty frame", async () => {
  await opened();
  clock.pass(61);
  const socket = sockets.at(-1);
  socket.tell(WELCOME, { type: "pong" });
  socket.send = (text) => socket.sent.push(text);
  clock.pass(11);
  assert.deepEqual(socket.sent.slice(1), []);
});

test("streams that bring nothing and end at once are no loop", async () => {
  const attempt = await opened();
  requests[0].close();
  (await request(1)).open(WELCOME);
  requests[1].close();
  await settled();
  assert.equal(requests.length, 2);
  clock.pass(1);
  (await request(2)).open(WELCOME);
  requests[2].close();
  await settled();
  attempt.send({ type: "join", room: "r", ref: 1 });
  clock.pass(0.1);
  assert.equal((await request(3)).commands.length, 1);
});

test("streams that bring only the rooms again and end at once are no loop", async () => {
  const { stream } = await inRoom();
  stream.close();
  const next = await request(2);
  const about = { room: "r", through: 2, epoch: "e", recovered: true, messages: [], members: [], count: 0 };
  next.open(WELCOME, { type: "joined", ...about, ref: next.commands[0].ref });
  next.close();
  await settled();
  assert.equal(requests.length, 3);
});

test("answers without a welcome are no loop", async () => {
  await block();
  new Attempt();
  (await request(0)).answer();
  await settled();
  assert.equal(requests.length, 1);
  attempts.at(-1).close();
  assert.equal(clock.size, 0);
});

test("closing ends the pause between two requests with commands", async () => {
  const attempt = await opened();
  attempt.send({ type: "ping", ref: 1 });
  (await request(1)).answer({ type: "pong", ref: 1 });
  await until(() => attempt.types.includes("pong"));
  await settled();
  attempt.close();
  assert.equal(clock.size, 0);
});

test("a handler that closes the line when a reply comes leaves no timer", async () => {
  const attempt = await opened();
  attempt.frames.push = () => attempt.close();
  attempt.send({ type: "ping", ref: 1 });
  (await request(1)).answer({ type: "pong", ref: 1 });
  await settled();
  assert.equal(clock.size, 0);
});
