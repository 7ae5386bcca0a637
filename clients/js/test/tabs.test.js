/** One line for all tabs: who leads, which seat gets which frame, and what the server is told. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { tabs } from "../src/tabs.js";
import { Locks } from "./locks.js";
import { Timers } from "./timers.js";
import { until } from "./until.js";

const Channel = globalThis.BroadcastChannel;
const NOW = "2026-01-01T00:01:00.000Z";
const WELCOME = { type: "welcome", user_id: "1", username: "ada", server_time: "2026-01-01T00:00:00.000Z" };

let lines; // to the server, in the order of their opening
let seats;
let page;
let channels;
let clock;

const read = (line) => {
  try {
    return JSON.parse(line);
  } catch {
    return { type: "not JSON" };
  }
};

class Line {
  name = "websocket";
  sent = [];
  isClosed = false;
  bufferedAmount = 7;

  constructor({ onFrame, onEnd }) {
    this.end = onEnd;
    this.tellRaw = onFrame;
    this.tell = (...frames) => onFrame(frames.map((frame) => JSON.stringify(frame)).join("\n"));
    lines.push(this);
  }

  send(text) {
    this.sent.push(...text.split("\n").map((line) => JSON.parse(line)));
  }

  close() {
    this.isClosed = true;
  }
}

class Tab {
  frames = [];
  ends = [];
  #attempt = new AbortController();

  constructor({ url = "wss://example.com/ws/", user = "1", ...options } = {}) {
    const transport = { open: (target, receiver) => new Line(receiver) };
    const target = { url: async () => new URL(url), signal: this.#attempt.signal };
    const onFrame = (text) => this.frames.push(...text.split("\n").map(read));
    this.line = tabs(options)(transport, { user, clock }).open(target, { onFrame, onEnd: (...end) => this.#ended(end) });
    seats.push(this);
  }

  // As a client does: it opens another line, at once if it may.
  #ended(end) {
    this.ends.push(end);
    if (end[2]) this.next = new Tab();
  }

  send(...commands) {
    this.line.send(commands.map((command) => JSON.stringify(command)).join("\n"));
  }

  close() {
    this.#attempt.abort();
  }

  get types() {
    return this.frames.map(({ type }) => type);
  }
}

/** Pass a frame to all tabs, and wait for it: what was sent to them before has arrived by then. */
async function settled(...all) {
  lines.at(-1).tell({ type: "notice", text: "mark" });
  await until(() => all.every(({ types }) => types.at(-1) === "notice"));
  for (const tab of all) tab.frames = tab.frames.filter(({ text }) => text !== "mark");
}

/** A leader and its followers, all with the `welcome`. */
async function group(number = 2) {
  const leader = new Tab();
  await until(() => lines.length === 1);
  lines[0].tell(WELCOME);
  const followers = Array.from({ length: number - 1 }, () => new Tab());
  await until(() => followers.every(({ frames }) => frames.length));
  return [lines[0], leader, ...followers];
}

beforeEach(() => {
  [lines, seats, channels, clock] = [[], [], [], new Timers(NOW)];
  page = Object.assign(new EventTarget(), { hidden: false });
  globalThis.document = page;
  globalThis.navigator = { locks: new Locks() };
  globalThis.BroadcastChannel = class extends Channel {
    constructor(name) {
      super(name);
      channels.push(this);
    }
  };
});

afterEach(async () => {
  for (const seat of seats) seat.close();
  clock.pass(60);
  if (navigator.locks instanceof Locks) await until(() => !navigator.locks.names().length);
  globalThis.BroadcastChannel = Channel;
});

test("the first tab opens a line, and the others follow it", async () => {
  const [line, leader, follower] = await group();
  assert.deepEqual([leader.types, follower.types], [["welcome"], ["welcome"]]);
  assert.equal(lines.length, 1);
  assert.deepEqual([leader.line.bufferedAmount, follower.line.bufferedAmount], [line.bufferedAmount, 0]);
  assert.deepEqual([leader.line.name, follower.line.name], ["websocket", "tab"]);
});

test("a follower that comes before the welcome gets it too", async () => {
  const [leader, follower] = [new Tab(), new Tab()];
  await until(() => lines.length);
  lines[0].tell(WELCOME);
  await until(() => leader.frames.length && follower.frames.length);
});

test("a follower that comes late learns the server's time of now", async () => {
  const [, , follower] = await group();
  assert.equal(follower.frames[0].server_time, NOW);
});

test("a reply goes to the tab that has asked, with its own ref", async () => {
  const [line, leader, one, two] = await group(3);
  for (const tab of [leader, one, two]) tab.send({ type: "history", room: "r", ref: 1 });
  await until(() => line.sent.length === 3);
  assert.equal(new Set(line.sent.map(({ ref }) => ref)).size, 3);
  for (const { ref } of line.sent) line.tell({ type: "history", room: "r", ref });
  await settled(leader, one, two);
  for (const { frames } of [leader, one, two]) assert.deepEqual(frames.slice(1), [{ type: "history", room: "r", ref: 1 }]);
});

test("a batch gets all of its replies", async () => {
  const [line, leader, follower] = await group();
  follower.send({ type: "joins", rooms: [{ room: "a" }, { room: "b" }], ref: "x" });
  await until(() => line.sent.length);
  const [{ ref }] = line.sent;
  line.tell({ type: "joined", room: "a", ref }, { type: "error", room: "b", ref });
  await settled(leader, follower);
  assert.deepEqual([leader.frames.length, follower.frames.map((frame) => frame.ref)], [1, [undefined, "x", "x"]]);
});

test("events go to all tabs in the order of the line", async () => {
  const [line, ...all] = await group(3);
  for (let seq = 1; seq <= 50; seq++) line.tell({ type: "message", seq }, { type: "changed", seq });
  await settled(...all);
  const expected = Array.from({ length: 100 }, (_, index) => 1 + (index >> 1));
  for (const { frames } of all) assert.deepEqual(frames.slice(1).map(({ seq }) => seq), expected);
});

test("a ping and an expiring token concern the leader alone", async () => {
  const [line, leader, follower] = await group();
  line.tell({ type: "ping", t: 1 }, { type: "error", code: "token_expired" });
  await settled(leader, follower);
  assert.deepEqual([leader.types, follower.types], [["welcome", "ping", "error"], ["welcome"]]);
});

test("the other tabs learn of a new identity, also those that come later", async () => {
  const [line, leader, follower] = await group();
  follower.send({ type: "auth", name: "Grace", ref: 1 });
  await until(() => line.sent.length);
  line.tell({ type: "authenticated", user_id: "1", username: "Grace", guest_token: "t", ref: line.sent[0].ref });
  await settled(leader, follower);
  const late = new Tab();
  await until(() => late.frames.length);
  for (const { frames } of [leader, follower, late]) assert.equal(frames.at(-1).username, "Grace");
  assert.equal(late.frames[0].guest_token, "t");
  assert.deepEqual(follower.frames.map(({ ref }) => ref).slice(1), [1, undefined]);
});

const ENTER = {
  room: [{ type: "join", room: "a b" }, { type: "joined", room: "a b" }, { type: "leave", room: "a b" }, { type: "left", room: "a b" }],
  topic: [
    { type: "subscribes", topics: [{ topic: "t/1" }] },
    { type: "subscribed", topic: "t/1" },
    { type: "unsubscribe", topic: "t/1" },
    { type: "unsubscribed", topic: "t/1" },
  ],
};
for (const [kind, [enter, entered, leave, left]] of Object.entries(ENTER)) {
  test(`the last tab leaves a ${kind} on the server`, async () => {
    const [line, ...both] = await group();
    for (const tab of both) tab.send({ ...enter, ref: 1 });
    await until(() => line.sent.length === 2);
    for (const { ref } of line.sent) line.tell({ ...entered, ref });
    await settled(...both);
    both[1].send({ ...leave, ref: 2 });
    await until(() => both[1].types.at(-1) === left.type);
    assert.deepEqual(both[1].frames.at(-1), { ...left, ref: 2 });
    assert.equal(line.sent.length, 2);
    both[0].send({ ...leave, ref: 2 });
    await until(() => line.sent.length === 3);
    assert.equal(line.sent[2].type, leave.type);
  });

  test(`a ${kind} that another tab enters just now is not left`, async () => {
    const [line, leader, follower] = await group();
    leader.send({ ...enter, ref: 1 });
    line.tell({ ...entered, ref: line.sent[0].ref });
    follower.send({ ...enter, ref: 1 });
    await until(() => line.sent.length === 2);
    leader.send({ ...leave, ref: 2 });
    assert.equal(line.sent.length, 2);
    assert.equal(leader.frames.at(-1).type, left.type);
  });

  test(`a tab that ends leaves its ${kind}`, async () => {
    const [line, , follower] = await group();
    follower.send({ ...enter, ref: 1 });
    await until(() => line.sent.length);
    line.tell({ ...entered, ref: line.sent[0].ref });
    follower.close();
    await until(() => line.sent.length === 2);
    assert.deepEqual(line.sent[1], leave);
  });
}

test("a room is left for good even if another tab is in it", async () => {
  const [line, ...both] = await group();
  for (const tab of both) tab.send({ type: "join", room: "r", ref: 1 });
  await until(() => line.sent.length === 2);
  for (const { ref } of line.sent) line.tell({ type: "joined", room: "r", ref });
  both[0].send({ type: "leave", room: "r", for_good: true, ref: 2 });
  assert.equal(line.sent.at(-1).for_good, true);
});

test("a room that the server has taken away is left by nobody", async () => {
  const [line, leader, follower] = await group();
  leader.send({ type: "join", room: "r", ref: 1 });
  line.tell({ type: "joined", room: "r", ref: line.sent[0].ref }, { type: "removed", room: "r" });
  follower.send({ type: "join", room: "r", ref: 1 });
  await until(() => line.sent.length === 2);
  line.tell({ type: "joined", room: "r", ref: line.sent[1].ref });
  follower.send({ type: "leave", room: "r", ref: 2 });
  await until(() => line.sent.length === 3);
});

test("a follower connects anew at once when its leader closes", async () => {
  const [, leader, follower] = await group();
  leader.close();
  clock.pass(0.2);
  await until(() => follower.ends.length);
  assert.deepEqual([follower.ends[0][0], follower.ends[0][2], leader.ends], [1006, true, []]);
  await until(() => lines.length === 2);
  assert.ok(lines[0].isClosed);
  lines[1].tell(WELCOME);
  await until(() => follower.next.frames.length);
});

test("twenty tabs open one line after the end of their leader", async () => {
  const [, leader, ...followers] = await group(20);
  leader.close();
  clock.pass(0.2);
  await until(() => followers.every(({ next }) => next));
  await until(() => lines.length === 2);
  lines[1].tell(WELCOME);
  await until(() => followers.every(({ next }) => next.frames.length));
  assert.equal(lines.length, 2);
});

test("the end of the line ends it for all tabs, and none takes it for the end of the leader", async () => {
  const [line, ...all] = await group(3);
  line.end(4503, "kicked");
  await until(() => all.every(({ ends }) => ends.length));
  assert.deepEqual(all.map(({ ends }) => ends), Array(3).fill([[4503, "kicked"]]));
  clock.pass(0.2);
  await until(() => !navigator.locks.names().length);
  assert.equal(lines.length, 1);
});

/** Freeze the leader's page: it hears nothing, and keeps its lock. */
function freeze() {
  channels[0].onmessage = null;
}

test("a visible tab takes the lead of a frozen one", async () => {
  const [line, leader, follower] = await group();
  freeze();
  follower.send({ type: "ping" });
  clock.pass(2);
  clock.pass(3);
  await until(() => leader.ends.length && follower.ends.length);
  assert.deepEqual([leader.ends[0][2], follower.ends[0][2], line.isClosed], [true, true, true]);
});

test("a tab takes the lead of a frozen one of which it never heard", async () => {
  await group();
  freeze();
  const late = new Tab();
  await until(() => channels.length === 3);
  clock.pass(2);
  clock.pass(3);
  await until(() => late.ends.length);
});

test("a hidden tab never takes the lead of another", async () => {
  const [, leader, follower] = await group();
  page.hidden = true;
  freeze();
  follower.send({ type: "ping" });
  for (let second = 0; second < 60; second++) clock.pass(1);
  assert.deepEqual([leader.ends, follower.ends], [[], []]);
});

test("a tab that was stopped itself asks once more before it takes the lead", async () => {
  const [, leader, follower] = await group();
  follower.send({ type: "ping" });
  clock.pass(2);
  clock.pass(60);
  assert.equal(clock.size, 1);
  await settled(leader, follower);
  assert.deepEqual([leader.ends, follower.ends], [[], []]);
});

test("a leader that answers keeps its lead, also before its line is open", async (context) => {
  const [leader, follower] = [new Tab(), new Tab()];
  await until(() => lines.length && channels.length === 2);
  page.dispatchEvent(new Event("visibilitychange"));
  let answers = 0;
  channels[1].addEventListener("message", ({ data }) => data.type === "here" && answers++);
  await until(() => answers);
  assert.deepEqual([leader.ends, follower.ends], [[], []]);
});

test("a page that is about to be frozen gives its lead back", async () => {
  const [line, leader, follower] = await group();
  page.dispatchEvent(new Event("freeze"));
  await until(() => leader.ends.length && follower.ends.length);
  assert.ok(line.isClosed);
});

test("a question goes to the tab that was visible last, until one has a handler", async () => {
  page.hidden = true;
  const [line, leader, one, two] = await group(3);
  page.hidden = false;
  page.dispatchEvent(new Event("visibilitychange"));
  await settled(leader, one, two);
  const ask = { type: "ask", ref: "q", name: "confirm" };
  line.tell(ask);
  for (const seen of [3, 2, 1]) {
    await until(() => [leader, one, two].filter(({ types }) => types.includes("ask")).length === 4 - seen);
    const tab = [leader, one, two].find(({ types }) => types.at(-1) === "ask");
    tab.frames.pop();
    tab.frames.push({ type: "ask" }, { type: "answered" });
    assert.equal(line.sent.length, 0);
    tab.send({ type: "answer", ref: "q", code: "no_handler" });
  }
  await until(() => line.sent.length);
  assert.deepEqual(line.sent, [{ type: "answer", ref: "q", code: "no_handler" }]);
});

test("tabs of guests are the guest of the leader, also one that was another guest", async () => {
  new Tab({ user: "guest:" });
  await until(() => lines.length === 1);
  lines[0].tell({ ...WELCOME, user_id: "guest:1", guest_token: "t" });
  const other = new Tab({ user: "guest:2" });
  await until(() => other.frames.length);
  assert.deepEqual([lines.length, other.frames[0].user_id, other.frames[0].guest_token], [1, "guest:1", "t"]);
});

test("tabs of other users, addresses, groups or without a user share nothing", async () => {
  for (const options of [{}, { user: "2" }, { url: "wss://example.com/other/" }, { group: "admin" }, { user: null }]) new Tab(options);
  await until(() => lines.length === 5);
});

for (const [name, broken] of Object.entries({
  "no locks": () => delete navigator.locks,
  "no channels": () => delete globalThis.BroadcastChannel,
  "refused locks": () => (navigator.locks = { request: () => Promise.reject(new DOMException("no", "SecurityError")) }),
  "locks that throw": () => (navigator.locks = { request: () => { throw new Error("no"); } }),
  "channels that throw": () => (globalThis.BroadcastChannel = class { constructor() { throw new Error("no"); } }),
}))
  test(`with ${name} each tab has a line of its own`, async () => {
    broken();
    const both = [new Tab(), new Tab()];
    await until(() => lines.length === 2);
    for (const line of lines) line.tell(WELCOME);
    both[0].send({ type: "ping" });
    assert.equal(lines.flatMap(({ sent }) => sent).length, 1);
    assert.deepEqual(both.map(({ types }) => types), [["welcome"], ["welcome"]]);
  });

test("a tab that is closed at once leaves nothing behind", async () => {
  new Tab().close();
  await until(() => !navigator.locks.names().length);
  assert.equal(lines.length, 0);
});

test("a tab that is closed while it gets the lock opens no line", async () => {
  const { locks } = navigator;
  const request = locks.request.bind(locks);
  let isGranted = false;
  locks.request = (name, options, act = options) => {
    const granted = (lock) => (name.endsWith(":") && (tab.close(), (isGranted = true)), act(lock));
    return act === options ? request(name, granted) : request(name, options, granted);
  };
  const tab = new Tab();
  await until(() => isGranted && !locks.names().length);
  assert.equal(lines.length, 0);
});

test("tabs that are closed leave nothing behind", async () => {
  const [line, ...all] = await group(3);
  for (const tab of all) tab.close();
  clock.pass(0.2);
  await until(() => !navigator.locks.names().length);
  assert.deepEqual([line.isClosed, clock.size], [true, 0]);
});

test("a page that is put away gives the lock back at once", async () => {
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  const [, leader] = await group(1);
  leader.close();
  page.dispatchEvent(new Event("pagehide"));
  await until(() => !navigator.locks.names().length);
  delete globalThis.addEventListener;
  delete globalThis.removeEventListener;
});

test("a frame that is not JSON is for the leader's client to judge", async () => {
  const [line, leader, follower] = await group();
  line.tellRaw("{");
  await settled(leader, follower);
  assert.deepEqual([leader.types, follower.types], [["welcome", "not JSON"], ["welcome"]]);
});
