/** The states of the connection, of a room and of a waiting message. */

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";

import { message, messages, Script, settled } from "./scripted.js";

test("a client that its handler closes during the welcome stays closed", async () => {
  const script = new Script();
  script.client.on("welcome", () => script.client.close());
  await script.connect();
  assert.ok(script.line.isClosed);
  assert.deepEqual(script.told("state"), ["connecting", "closed"]);
});

test("a room that its handler leaves during a repair stays left", async () => {
  const script = new Script();
  const line = await script.connect();
  await script.enter(10);
  script.room.on("message", () => script.room.leave());
  await line.send({ type: "message", room: "general", ...message(15) });
  const { ref } = await line.expect("history");
  const page = { messages: [message(11), message(12)], epoch: "e", has_more: true, through: 12 };
  await line.send({ type: "history", room: "general", ref, ...page });
  await line.expect("leave");
  assert.equal(script.room.state, "idle");
  assert.deepEqual(script.told("message"), ["m11"]);
  await script.clock.passes(5);
  assert.equal(line.types.filter((type) => type === "history").length, 1);
  script.room.join();
  assert.deepEqual((await line.expect("join")).since, { seq: 11, epoch: "e" });
});

test("a room tells its states", async () => {
  const script = new Script();
  const told = [];
  script.room.on("state", ({ state, isResumed }) => told.push([state, isResumed]));
  script.room.join();
  await settled();
  const { line } = script;
  await line.welcome();
  await line.joined(await line.expect("join"), 2, { messages: messages(1, 2) });
  const next = await script.back();
  await next.joined(await next.expect("join"), 2, { recovered: true });
  script.room.leave();
  assert.deepEqual(told, [["joining", false], ["live", false], ["stale", false], ["live", true], ["idle", false]]);
  assert.deepEqual(script.room.position, { seq: 2, epoch: "e" });
});

test("the history that comes with the join is told as messages that are not live", async () => {
  const script = new Script();
  await script.connect();
  const states = [];
  script.client.on("message", ({ room, live }) => states.push([script.client.room(room).state, live]));
  await script.enter(2, { messages: messages(1, 2) });
  await script.line.send({ type: "message", room: "general", ...message(3) });
  assert.deepEqual(states, [["joining", false], ["joining", false], ["live", true]]);
  assert.ok(Object.isFrozen(script.room.messages));
  assert.deepEqual(script.room.messages.map(({ seq }) => seq), [1, 2, 3]);
});

/** A client with two messages, of which the first is refused for 60 s. */
async function held() {
  const script = new Script({ user: "1" });
  const line = await script.connect();
  await script.enter();
  script.settled.length = 0;
  await script.send("first");
  await line.refuse(await line.expect("message"), "rate_limited", { retryable: true, retry_after: 60 });
  await script.send("second");
  return { script, line };
}

const shown = ({ room }) => room.pending.map(({ content, status, error }) => [content, status, error?.code ?? null]);

test("a held message is sent again before the next one", async () => {
  const { script, line } = await held();
  assert.deepEqual(shown(script), [["first", "waiting", "rate_limited"], ["second", "waiting", null]]);
  assert.ok(Math.abs(script.room.pending[0].retryAt / 1000 - script.clock.wall() - 60) < 1);
  for (let count = 0; count < 6; count++) {
    await script.clock.passes(9);
    await line.send({ type: "pong" });
  }
  assert.equal(line.types.filter((type) => type === "message").length, 1);
  await script.clock.passes(7);
  for (const content of ["first", "second"]) {
    const command = await line.expect("message");
    assert.equal(command.content, content);
    await line.acknowledge(command);
  }
  assert.deepEqual(script.settled, [["first", "ok"], ["second", "ok"]]);
  assert.deepEqual(script.room.pending, []);
});

test("a held message is sent at once on the next connection", async () => {
  const { script } = await held();
  const line = await script.back();
  await line.joined(await line.expect("join"), 0, { recovered: true });
  for (const content of ["first", "second"]) {
    const command = await line.expect("message");
    assert.equal(command.content, content);
    await line.acknowledge(command);
  }
  assert.deepEqual(script.settled, [["first", "ok"], ["second", "ok"]]);
});

test("an unreadable frame ends the line and is told", async () => {
  for (const text of ["{", "null", "[1]", '{"type":"joined","ref":1}\n{"type":"notice"}', '{"type":1}']) {
    const script = new Script();
    script.room.join();
    await settled();
    await script.line.welcome();
    await script.line.expect("join");
    const notices = [];
    script.client.on("notice", (notice) => notices.push(notice));
    await script.line.raw(text);
    assert.deepEqual(script.told("error"), ["invalid_frame"], text);
    assert.equal(script.client.state, "waiting");
    assert.ok(script.line.isClosed);
    assert.deepEqual(notices, []);
  }
});

test("unknown frames and fields are ignored, and told", async () => {
  const script = new Script();
  const line = await script.connect("1", { protocol: 7, extra: 1 });
  await script.enter();
  await line.send({ type: "surprise", room: "general" }, { type: "constructor" }, { type: "state" });
  assert.deepEqual(script.details("unknown").map(({ type }) => type), ["surprise", "constructor", "state"]);
  assert.deepEqual(script.told("state"), ["connecting", "open"]);
});

test("names of objects are names like others", async () => {
  const script = new Script();
  const line = await script.connect();
  for (const name of ["__proto__", "constructor", "toString"]) {
    const room = script.client.room(name);
    script.note(name, room.join());
    const join = await line.expect("join");
    const members = [{ user_id: name, username: name, connections: 1 }];
    await line.raw(JSON.stringify({ type: "joined", ref: join.ref, room: name, through: 0, epoch: "e", messages: [], members, count: 1 }));
    await line.raw(`{"type":"message","room":"${name}","id":1,"seq":1,"user_id":"${name}","content":"x","data":{"__proto__":{"wrong":1}}}`);
    assert.equal(room.messages.length, 1);
    assert.ok(room.members.has(name));
    const topic = script.client.topic(name);
    script.note(name, topic.subscribe());
    await line.subscribed(await line.expect("subscribe"), 0);
    await line.raw(`{"type":"event","topic":"${name}","name":"${name}","key":"${name}","seq":1,"data":{"a":1}}`);
    assert.deepEqual(topic.values.get(name), { a: 1 });
  }
  assert.equal({}.wrong, undefined);
  assert.deepEqual(script.told("error"), []);
});

test("handlers that throw or reject hurt no other", async (context) => {
  const reported = [];
  context.mock.method(console, "error", (error) => reported.push(error.message));
  const script = new Script();
  await script.connect();
  await script.enter();
  script.room.on("message", () => {
    throw new Error("thrown");
  });
  script.room.on("message", async () => {
    throw new Error("rejected");
  });
  const told = [];
  script.room.on("message", ({ message }) => told.push(message.seq));
  await script.line.send({ type: "message", room: "general", ...message(1) }, { type: "message", room: "general", ...message(2) });
  assert.deepEqual(told, [1, 2]);
  assert.deepEqual(reported, ["thrown", "thrown", "rejected", "rejected"]);
  assert.equal(script.client.state, "open");
});

test("a handler with a signal or once stops, and a stopped one is not called any more", async () => {
  const script = new Script();
  const line = await script.connect();
  const ends = new AbortController();
  const told = [];
  const stop = script.client.on("notice", () => told.push("stopped"));
  script.client.on("notice", () => told.push("once"), { once: true });
  script.client.on("notice", () => told.push("signal"), { signal: ends.signal });
  script.client.on("notice", () => told.push("never"), { signal: AbortSignal.abort() });
  await line.send({ type: "notice" });
  stop();
  ends.abort();
  await line.send({ type: "notice" });
  assert.deepEqual(told, ["stopped", "once", "signal"]);
  const left = [];
  script.client.on("notice", () => end());
  const end = script.client.on("notice", () => left.push(1));
  await line.send({ type: "notice" });
  assert.deepEqual(left, []);
});

test("messages of a client that is closed, of a room that was not joined, or too large are shown as failed", async () => {
  const script = new Script();
  await script.connect("1", { limits: { content_characters: 3 } });
  await script.send("early");
  await script.enter();
  await script.send("😀😀😀😀");
  await script.send("😀😀😀");
  assert.deepEqual(shown(script), [["early", "failed", "not_joined"], ["😀😀😀😀", "failed", "too_large"], ["😀😀😀", "sent", null]]);
  script.client.close();
  await script.send("x");
  assert.deepEqual(shown(script).map(([, , code]) => code), ["not_joined", "too_large", "closed", "closed"]);
});

test("a limit that is learnt later fails what is too large, and the others go on", async () => {
  const script = new Script();
  script.room.join();
  await script.send("too long");
  await script.send("ok");
  await script.line.welcome("1", { limits: { content_characters: 3 } });
  await script.line.joined(await script.line.expect("join"));
  assert.equal((await script.line.expect("message")).content, "ok");
  assert.deepEqual(script.settled, [["too long", "too_large"]]);
});

test("a failed message is retried with its nonce, or discarded", async () => {
  const script = new Script();
  const line = await script.connect();
  await script.enter();
  await script.send("one");
  const first = await line.expect("message");
  await line.refuse(first, "permission_denied");
  await script.send("two");
  assert.equal((await line.expect("message")).content, "two");
  assert.deepEqual(shown(script)[0], ["one", "failed", "permission_denied"]);
  const again = script.room.retry(first.nonce);
  assert.deepEqual(shown(script), [["one", "waiting", null], ["two", "sent", null]]);
  await line.acknowledge(line.seen.at(-1));
  const second = await line.expect("message");
  assert.equal(second.nonce, first.nonce);
  await line.acknowledge(second, 2);
  assert.equal((await again).seq, 2);
  await script.send("three");
  const { nonce } = script.room.pending[0];
  assert.equal(script.room.discard(nonce), "three");
  await settled();
  assert.deepEqual(script.settled.slice(1), [["one", "permission_denied"], ["two", "ok"], ["three", "aborted"]]);
  assert.deepEqual(script.room.pending, []);
});

test("500 messages wait at most, and 1 MiB in all", async () => {
  const script = new Script();
  script.room.join();
  for (let count = 0; count < 501; count++) script.note(count, script.room.send("x"));
  await settled();
  assert.deepEqual(script.settled, [[500, "queue_full"]]);
  assert.deepEqual(script.told("error"), ["queue_full"]);
  const other = new Script();
  other.room.join();
  for (let count = 0; count < 20; count++) other.note(count, other.room.send("x".repeat(100_000)));
  await settled();
  assert.equal(other.settled.length, 10);
});

test("an aborted message is removed before it was sent, and unknown afterwards", async () => {
  const script = new Script();
  await script.connect();
  await script.enter();
  const ends = [new AbortController(), new AbortController(), new AbortController()];
  const outcomes = [];
  for (const { signal } of ends.slice(0, 2)) script.room.send("x", { signal }).catch(({ code, outcome }) => outcomes.push([code, outcome]));
  ends[2].abort();
  script.room.send("x", { signal: ends[2].signal }).catch(({ code, outcome }) => outcomes.push([code, outcome]));
  const sent = await script.line.expect("message");
  for (const end of ends) end.abort();
  await settled();
  assert.deepEqual(outcomes, [["aborted", "not_sent"], ["aborted", "unknown"], ["aborted", "not_sent"]]);
  await script.line.acknowledge(sent);
  assert.deepEqual(script.room.pending, []);
  assert.equal(script.line.types.filter((type) => type === "message").length, 1);
});

test("a command that is not answered times out", async () => {
  const script = new Script();
  await script.connect();
  const caught = script.client.request({ type: "presence", room: "x" }).catch((error) => error);
  await script.clock.passes(11);
  const { code, outcome, isRetryable } = await caught;
  assert.deepEqual([code, outcome, isRetryable], ["timeout", "unknown", true]);
  const { ref } = await script.line.expect("presence");
  await script.line.send({ type: "presence", room: "x", ref });
  assert.equal(script.client.state, "open");
});

test("a call may wait for the connection", async () => {
  const script = new Script();
  const topic = script.client.topic("order/7");
  script.note("at once", topic.call("cancel"));
  script.note("in vain", topic.call("cancel", {}, { wait: 1 }));
  script.note("in time", topic.call("cancel", {}, { wait: 5 }));
  await script.begin();
  await script.clock.passes(2);
  await script.line.welcome();
  const { ref } = await script.line.expect("call");
  await script.line.send({ type: "result", topic: "order/7", name: "ok", data: {}, ref });
  assert.deepEqual(script.settled, [["at once", "offline"], ["in vain", "offline"], ["in time", "ok"]]);
  await script.line.close();
  const { signal } = new AbortController();
  script.note("closed", topic.call("cancel", {}, { wait: 60, signal }));
  script.client.close();
  await settled();
  assert.deepEqual(script.settled.at(-1), ["closed", "offline"]);
  assert.equal(getEventListeners(signal, "abort").length, 0);
  assert.equal(script.line.types.filter((type) => type === "call").length, 1);
});

test("typing and signals are dropped while the room is not live or the line is full, and the newest read mark is kept", async () => {
  const script = new Script();
  script.room.join();
  await settled();
  const { line } = script;
  script.room.typing();
  script.room.signal({ a: 1 });
  script.room.read(3);
  script.room.read(5);
  script.room.read(4);
  await line.welcome();
  await line.joined(await line.expect("join"), 5);
  assert.deepEqual(line.seen.slice(1).map(({ type, seq }) => [type, seq]), [["read", 5]]);
  line.bufferedAmount = 70_000;
  script.room.typing();
  script.room.read(6);
  line.bufferedAmount = 0;
  script.room.signal({ a: 1 });
  assert.deepEqual(line.types.slice(2), ["signal"]);
});

test("the message behind one that is refused for good is sent at once", async () => {
  const script = new Script();
  const line = await script.connect();
  await script.enter();
  await script.send("one");
  await script.send("two");
  await line.refuse(await line.expect("message"), "permission_denied");
  assert.equal((await line.expect("message")).content, "two");
});

const circular = {};
circular.self = circular;
for (const [what, content, data] of [["number", 5], ["null", null], ["list", ["a"]], ["undefined"], ["circle", "hi", circular], ["bigint", "hi", { n: 5n }]])
  test(`a message that cannot be sent is refused at once: ${what}`, async () => {
    const script = new Script();
    const line = await script.connect("1", { limits: { content_characters: 10 } });
    await script.enter();
    await assert.rejects(script.room.send(content, { data }), { code: "invalid_message", outcome: "not_sent" });
    assert.deepEqual(script.room.pending, []);
    script.room.send("next");
    assert.equal((await line.expect("message")).content, "next");
  });

test("a message is sent with the data that it had at the call", async () => {
  const script = new Script();
  const line = await script.connect();
  const data = { count: 1 };
  script.room.join();
  script.room.send("hi", { data });
  data.count = 2;
  data.self = data;
  await line.joined(await line.expect("join"));
  assert.deepEqual((await line.expect("message")).data, { count: 1 });
});

for (const [retry_after, seconds] of [["5", 5], [[5], 5], ["soon", 1], [true, 1], [{}, 1], [-3, 1]])
  test(`a pause of ${JSON.stringify(retry_after)} is one of ${seconds} s`, async () => {
    const script = new Script();
    await script.clock.passes(0.5);
    const line = await script.connect();
    script.room.join();
    await line.refuse(await line.expect("join"), "rate_limited", { retryable: true, retry_after });
    await script.clock.passes(seconds - 0.2);
    assert.equal(line.types.filter((type) => type === "join").length, 1);
    await script.clock.passes(0.3);
    assert.equal(line.types.filter((type) => type === "join").length, 2);
  });

test("a room that keeps nothing does not grow", async () => {
  const script = new Script({ keep: 0 });
  const line = await script.connect();
  await script.enter();
  for (let seq = 1; seq <= 20; seq++) await line.send({ type: "message", room: "general", ...message(seq) });
  assert.deepEqual([script.room.messages, script.told("message").length], [[], 20]);
});

test("trim(0) forgets all messages", async () => {
  const script = new Script();
  await script.connect();
  await script.enter(2, { messages: [message(1), message(2)] });
  assert.deepEqual([script.room.trim(0).length, script.room.messages, script.room.hasMore], [2, [], true]);
});

test("a message that a joined room refuses again and again fails", async () => {
  const script = new Script();
  const line = await script.connect();
  await script.enter();
  await script.send("hi");
  for (let turn = 0; turn < 5; turn++) {
    await line.refuse(await line.expect("message"), "not_joined");
    await line.joined(await line.expect("join"));
  }
  await line.refuse(await line.expect("message"), "not_joined");
  assert.deepEqual(shown(script), [["hi", "failed", "not_joined"]]);
  assert.deepEqual(script.settled.at(-1), ["hi", "not_joined"]);
});
