/** Signals, holders, batches and the life of the page. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Script, settled } from "./scripted.js";

for (const moment of ["before", "idle"])
  test(`a signal that has aborted connects nothing, ${moment}`, async () => {
    const ends = new AbortController();
    if (moment === "before") ends.abort();
    const script = new Script({ signal: ends.signal });
    ends.abort();
    script.client.connect();
    script.note("join", script.room.join());
    await script.send("hi");
    assert.deepEqual(script.settled, [["join", "closed"], ["hi", "closed"]]);
    assert.equal(script.client.state, "closed");
    assert.equal(script.lines.length, 0);
  });

test("an aborted client ends and cannot be connected again", async () => {
  const ends = new AbortController();
  const script = new Script({ signal: ends.signal });
  const line = await script.connect();
  ends.abort();
  assert.ok(line.isClosed);
  script.client.connect();
  assert.equal(script.client.state, "closed");
  assert.equal(script.lines.length, 1);
});

test("an attempt that waits for its address is dropped", async () => {
  let give;
  const ends = new AbortController();
  const script = new Script({ signal: ends.signal, url: () => new Promise((resolve) => (give = resolve)) });
  script.client.connect();
  await settled();
  ends.abort();
  give("ws://localhost/");
  await settled();
  assert.equal(script.line.token, undefined);
  assert.equal(script.client.state, "closed");
});

/** Count the listeners of a signal. */
function counted(context) {
  const { signal } = new AbortController();
  const ends = [];
  const add = signal.addEventListener.bind(signal);
  let count = 0;
  context.mock.method(signal, "addEventListener", (type, act, options) => {
    count++;
    add(type, act, options);
  });
  const remove = signal.removeEventListener.bind(signal);
  context.mock.method(signal, "removeEventListener", (...listener) => {
    count--;
    remove(...listener);
  });
  return { signal, count: () => count, ends };
}

test("a closed client leaves no listener and no timer", async (context) => {
  const { signal, count } = counted(context);
  const script = new Script({ signal });
  script.client.close();
  assert.equal(count(), 0);
  for (let turn = 0; turn < 3; turn++) {
    await script.connect();
    const joined = script.room.join({ signal, linger: 1 });
    await script.line.joined(await script.line.expect("join"), 0, { recovered: turn > 0 });
    await joined;
    assert.equal(count(), 2);
    script.client.close();
    assert.equal(count(), 0);
    assert.equal(script.clock.timers.size, 0);
  }
});

/** A client that has connected, and the rooms that it has entered and left. */
async function open() {
  const script = new Script();
  const line = await script.connect();
  return { script, line, room: script.room };
}

const told = ({ types }) => types.filter((type) => type !== "ping").join(" ");

test("join, leave and join in one task send one join, and join and leave none", async () => {
  const { script, line, room } = await open();
  room.join();
  room.leave();
  await settled();
  assert.equal(told(line), "");
  room.join();
  room.leave();
  script.note("join", room.join());
  await line.joined(await line.expect("join"));
  room.leave();
  room.join();
  await settled();
  assert.equal(told(line), "join");
  assert.deepEqual(script.settled, [["join", "ok"]]);
});

test("a reply that comes after the room was left is answered by leave, and not shown", async () => {
  const { script, line, room } = await open();
  script.note("join", room.join());
  const join = await line.expect("join");
  room.leave();
  await line.joined(join, 0);
  assert.equal(told(line), "join leave");
  assert.deepEqual(script.settled, [["join", "left"]]);
  assert.equal(room.state, "idle");
});

test("a room is held until its last holder has gone", async () => {
  const { script, line, room } = await open();
  const [first, second] = [new AbortController(), new AbortController()];
  script.note("first", room.join({ signal: first.signal }));
  script.note("own", room.join());
  first.abort();
  await line.joined(await line.expect("join"));
  room.join({ signal: second.signal, linger: 2 });
  room.leave();
  await settled();
  assert.equal(told(line), "join");
  second.abort();
  await script.clock.passes(1);
  assert.equal(told(line), "join");
  room.join({ signal: new AbortController().signal });
  await script.clock.passes(5);
  assert.equal(told(line), "join");
  room.leave(); // there is no holder without a signal
  await settled();
  assert.equal(told(line), "join");
  room.leave({ force: true });
  await settled();
  assert.equal(told(line), "join leave");
  assert.deepEqual(script.settled, [["first", "aborted"], ["own", "ok"]]);
});

test("a room that lingers is left after its seconds", async () => {
  const { script, line, room } = await open();
  const ends = new AbortController();
  room.join({ signal: ends.signal, linger: 1 });
  await line.joined(await line.expect("join"));
  ends.abort();
  await script.clock.passes(0.5);
  assert.equal(room.state, "live");
  await script.clock.passes(1);
  assert.equal(told(line), "join leave");
});

test("what a handler leaves gets nothing of the rest of the frame", async () => {
  const { script, line, room } = await open();
  await script.enter();
  const topic = script.client.topic("order/7");
  topic.subscribe();
  await line.subscribed(await line.expect("subscribe"), 0);
  const heard = [];
  for (const type of ["typing", "signal", "joined", "presence", "room"]) room.on(type, () => heard.push(type));
  for (const type of ["paid", "presence"]) topic.on(type, () => heard.push(type));
  script.client.on("typing", () => heard.push("typing of the client"));
  script.client.on("notice", () => {
    room.leave();
    topic.unsubscribe();
  });
  const [inRoom, inTopic] = [{ room: "general" }, { topic: "order/7" }];
  await line.send(
    { type: "notice" },
    { type: "typing", ...inRoom, user_id: "2", username: "b" },
    { type: "signal", ...inRoom, data: {} },
    { type: "joined", ...inRoom, user_id: "2", username: "b" },
    { type: "presence", ...inRoom, count: 3, members: [] },
    { type: "room", ...inRoom, role: "member", rights: [] },
    { type: "event", ...inTopic, name: "paid", data: {} },
    { type: "event", ...inTopic, name: "paid", data: {}, seq: 1 },
    { type: "presence", ...inTopic, count: 3, members: [] },
  );
  assert.deepEqual(heard, []);
});

test("an aborted join sends nothing", async () => {
  const { script, line, room } = await open();
  script.note("before", room.join({ signal: AbortSignal.abort() }));
  const ends = new AbortController();
  script.note("at once", room.join({ signal: ends.signal }));
  ends.abort();
  await settled();
  assert.deepEqual(script.settled, [["before", "aborted"], ["at once", "aborted"]]);
  assert.equal(told(line), "");
});

test("a refusal ends all holders, and a later join asks again", async () => {
  const { script, line, room } = await open();
  script.note("join", room.join());
  script.note("signal", room.join({ signal: new AbortController().signal }));
  await line.refuse(await line.expect("join"), "unknown_room");
  assert.deepEqual(script.settled, [["join", "unknown_room"], ["signal", "unknown_room"]]);
  assert.deepEqual([room.state, room.error.code], ["refused", "unknown_room"]);
  assert.deepEqual(script.told("refused"), ["unknown_room"]);
  room.join();
  assert.equal(room.state, "joining");
  await line.joined(await line.expect("join"));
  await line.send({ type: "removed", room: "general", code: "permission_denied", message: "Banned.", retry_after: 60 });
  assert.deepEqual([room.state, room.error.retryAfter], ["refused", 60]);
});

test("a removal that passes is waited for", async () => {
  const { script, line, room } = await open();
  await script.enter(3);
  await line.send({ type: "removed", room: "general", code: "unavailable", message: "Later.", retry_after: 5 });
  assert.equal(room.state, "stale");
  await script.clock.passes(4);
  assert.equal(line.types.filter((type) => type === "join").length, 1);
  const next = await script.back(); // the pause holds over a reconnect
  await settled();
  assert.equal(told(next), "");
  await script.clock.passes(2);
  assert.deepEqual((await next.expect("join")).since, { seq: 3, epoch: "e" });
});

/** Answer a batch. */
async function answer(line, command) {
  for (const { topic } of command.topics ?? [])
    await line.send({ type: "subscribed", ref: command.ref, topic, epoch: "e", recovered: true, has_more: false, through: 0, entries: [] });
  for (const { room } of command.rooms ?? [])
    await line.joined({ room, ref: command.ref }, 0, { recovered: true });
}

test("rooms and topics are entered by batches of 100, two of which are unanswered at most", async () => {
  const { script, line } = await open();
  const names = Array.from({ length: 250 }, (_, at) => `n${at}`);
  for (const name of names) script.client.topic(name).subscribe();
  for (const name of names.slice(0, 30)) script.client.room(name).join();
  await settled();
  assert.deepEqual(line.seen.map(({ type, topics }) => [type, topics.length]), [["subscribes", 100], ["subscribes", 100]]);
  await answer(line, line.seen[0]);
  await answer(line, line.seen[1]);
  await answer(line, line.seen[2]);
  await answer(line, line.seen[3]);
  assert.deepEqual(line.seen.slice(2).map(({ type, topics, rooms }) => [type, (topics ?? rooms).length]), [["subscribes", 50], ["joins", 30]]);
  assert.ok(names.every((name) => script.client.topic(name).state === "live"));
  assert.equal(script.client.room("n29").state, "live");
});

test("those with a priority are entered first", async () => {
  const { script } = await open();
  for (let at = 0; at < 150; at++) script.client.topic(`n${at}`).subscribe();
  script.client.topic("n149").priority = 1;
  script.client.topic("n148").priority = 2;
  const line = await script.back();
  await settled();
  assert.deepEqual(line.seen[0].topics.slice(0, 3).map(({ topic }) => topic), ["n148", "n149", "n0"]);
});

test("a refused item waits by itself, and the others go on", async () => {
  const { script, line } = await open();
  const rooms = ["a", "b", "c"].map((slug) => script.client.room(slug));
  for (const room of rooms) room.join();
  const { ref } = await line.expect("joins");
  await line.joined({ room: "a", ref });
  await line.refuse({ ref, room: "b" }, "rate_limited", { retryable: true, retry_after: 3 });
  await line.joined({ room: "c", ref });
  assert.deepEqual(rooms.map(({ state }) => state), ["live", "joining", "live"]);
  await script.clock.passes(4);
  await line.joined(await line.expect("join"));
  assert.equal(rooms[1].state, "live");
});

test("a batch that is refused as a whole is sent in parts", async () => {
  const { script, line } = await open();
  const topics = ["a", "", "c", "d"].map((path) => script.client.topic(path));
  for (const topic of topics) topic.subscribe();
  await line.refuse(await line.expect("subscribes"), "rate_limited", { retryable: true, retry_after: 2 });
  await script.clock.passes(3);
  const half = await line.expect("subscribes");
  assert.equal(half.topics.length, 2);
  await line.refuse(half, "invalid_message", { path: "topics[1].topic" });
  for (let at = 0; at < 4; at++) {
    await settled();
    for (const sent of line.seen.filter(({ isDone, ref }) => !isDone && ref > half.ref)) {
      sent.isDone = true;
      if (sent.topics) await answer(line, sent);
      else if (sent.topic === "") await line.refuse({ ref: sent.ref }, "invalid_message");
      else await line.subscribed({ ref: sent.ref, topic: sent.topic }, 0);
    }
  }
  assert.deepEqual(topics.map(({ state }) => state), ["live", "refused", "live", "live"]);
});

test("an older server that knows no batches is asked one by one", async () => {
  const { script, line } = await open();
  const topics = ["a", "b"].map((path) => script.client.topic(path));
  for (const topic of topics) topic.subscribe();
  await line.refuse(await line.expect("subscribes"), "unknown_type");
  for (let at = 0; at < 2; at++) await line.subscribed(await line.expect("subscribe"), 0);
  assert.deepEqual(topics.map(({ state }) => state), ["live", "live"]);
});

test("an unanswered batch is sent again, and blocks no other", async () => {
  const { script, line } = await open();
  script.room.join();
  await line.expect("join");
  for (let at = 0; at < 8; at++) {
    await script.clock.passes(5);
    await line.send({ type: "pong" });
  }
  await line.joined(await line.expect("join"));
  assert.equal(script.room.state, "live");
});

test("making a handle sends nothing, and the same name is the same handle", async () => {
  const { script, line } = await open();
  assert.equal(script.client.room("x"), script.client.room("x"));
  assert.equal(script.client.topic("x"), script.client.topic("x"));
  await settled();
  assert.equal(told(line), "");
});

// A page in a browser

/** Let `globalThis` be a page, and return a function that tells it something. */
function page(context) {
  const target = new EventTarget();
  const document = new EventTarget();
  for (const name of ["addEventListener", "removeEventListener"]) context.mock.method(globalThis, name, (...all) => target[name](...all));
  globalThis.document = document;
  context.after(() => delete globalThis.document);
  return (type) => (type === "visibilitychange" ? document : target).dispatchEvent(new Event(type));
}

globalThis.addEventListener ??= () => {};
globalThis.removeEventListener ??= () => {};

test("a page that is put away closes its line, and goes on from its positions", async (context) => {
  const tell = page(context);
  const { script, line, room } = await open();
  await script.enter(3);
  await script.send("hi");
  tell("pagehide");
  assert.ok(line.isClosed);
  assert.equal(script.clock.timers.size, 0);
  assert.deepEqual([script.client.state, room.state], ["suspended", "stale"]);
  tell("pageshow");
  await settled();
  const next = script.line;
  await next.welcome();
  const join = await next.expect("join");
  assert.deepEqual(join.since, { seq: 3, epoch: "e" });
  await next.joined(join, 3, { recovered: true });
  assert.equal((await next.expect("message")).content, "hi");
  script.client.close();
  tell("pagehide");
  tell("pageshow");
  await settled();
  assert.equal(script.lines.length, 2);
});

test("offline is a hint: the line is tested, and tried again", async (context) => {
  const tell = page(context);
  const { script, line } = await open();
  Object.defineProperty(globalThis, "navigator", { value: { onLine: false }, configurable: true });
  context.after(() => delete globalThis.navigator);
  tell("offline");
  assert.equal(script.client.state, "open");
  await line.expect("ping");
  await script.clock.passes(3.2);
  const lost = script.details("state").at(-1);
  assert.deepEqual([lost.state, lost.retryIn], ["waiting", null]);
  tell("online");
  await settled();
  assert.equal(script.client.state, "connecting");
});

test("a page that becomes visible tests its line, or tries at once", async (context) => {
  const tell = page(context);
  const { script, line } = await open();
  tell("visibilitychange");
  await line.expect("ping");
  await line.close();
  tell("visibilitychange");
  assert.equal(script.client.state, "connecting");
});

const ENDS = {
  "is lost": ({ line }) => line.receiver.onEnd(1006, ""),
  "is ended by the server": ({ line }) => line.receiver.onFrame('{"type":"disconnect","code":4001}'),
  "is closed by the page": ({ client }) => client.close(),
};

for (const [how, end] of Object.entries(ENDS)) {
  test(`a handler of a room may close the client while its line ${how}`, async () => {
    const script = new Script();
    await script.connect();
    await script.enter();
    script.room.on("state", () => script.client.close());
    end(script);
    await script.clock.passes(60);
    assert.deepEqual([script.client.state, script.lines.length, script.clock.timers.size], ["closed", 1, 0]);
    assert.deepEqual([script.told("state").slice(2), script.told("error")], [["closed"], []]);
  });

  test(`a handler of a room may accept another user while its line ${how}`, async () => {
    const script = new Script({ user: "1" });
    await script.connect();
    await script.enter();
    script.room.on("state", () => script.client.connect({ user: "2" }), { once: true });
    end(script);
    await script.clock.passes(5);
    assert.equal(script.lines.length, 2);
    await script.line.welcome("2");
    assert.deepEqual([script.client.state, script.client.userId, script.line.isClosed], ["open", "2", false]);
  });
}

test("`ready` is one promise for the first live state", async () => {
  const script = new Script();
  const line = await script.connect();
  const { room } = script;
  const { ready } = room;
  room.join();
  assert.equal(room.ready, ready);
  await line.joined(await line.expect("join"));
  assert.equal(await ready, room);
  const next = await script.back();
  await next.joined(await next.expect("join"));
  assert.equal(room.ready, ready);
});

test("`ready` of a refused room rejects, and a later join has another one", async () => {
  const script = new Script();
  const line = await script.connect();
  const topic = script.client.topic("order/7");
  topic.subscribe();
  const { ready } = topic;
  script.note("ready", ready);
  await line.refuse(await line.expect("subscribe"), "permission_denied");
  assert.deepEqual([script.settled, topic.ready === ready], [[["ready", "permission_denied"]], true]);
  topic.subscribe();
  await line.subscribed(await line.expect("subscribe"), 0);
  assert.notEqual(topic.ready, ready);
  assert.equal(await topic.ready, topic);
});

test("a join after `close` waits for the next connection", async () => {
  const script = new Script();
  await script.connect();
  await script.enter();
  script.client.close();
  script.note("again", script.room.join());
  await settled();
  assert.deepEqual(script.settled, [["join", "ok"]]);
  const line = await script.connect();
  await line.joined(await line.expect("join"));
  assert.deepEqual(script.settled, [["join", "ok"], ["again", "ok"]]);
});

test("each join of a signal is rejected when it aborts, while another holder stays", async () => {
  const script = new Script();
  const ends = new AbortController();
  await script.connect();
  script.room.join();
  script.note("one", script.room.join({ signal: ends.signal }));
  script.note("two", script.room.join({ signal: ends.signal }));
  ends.abort();
  await settled();
  assert.deepEqual(script.settled, [["one", "aborted"], ["two", "aborted"]]);
  assert.equal(script.room.isHeld, true);
});

test("a request whose signal has aborted fails at once, whatever it would wait for", async () => {
  const script = new Script();
  script.note("call", script.client.request({ type: "presence", room: "r" }, { wait: 30, signal: AbortSignal.abort() }));
  await settled();
  assert.deepEqual(script.settled, [["call", "aborted"]]);
});

test("a batch that is refused and has no other reply counts once", async () => {
  const script = new Script();
  const line = await script.connect("1", { heartbeat: 1e6 });
  script.client.room("a").join();
  script.client.room("b").join();
  const { ref } = await line.expect("joins");
  await line.send({ type: "error", code: "rate_limited", retryable: true, retry_after: 1e6, ref });
  for (let beat = 0; beat < 5; beat++) {
    await line.send({ type: "pong" });
    await script.clock.passes(8);
  }
  for (let number = 0; number < 400; number++) script.client.room(`r${number}`).join();
  await settled();
  assert.equal(line.types.filter((type) => type.startsWith("join")).length, 3);
});
