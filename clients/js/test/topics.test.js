/** Topics: snapshots, resumes, gaps, calls and refusals. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Script, settled } from "./scripted.js";

const ORDER = "order/7";

/** The state of an entry: an event, the value of a key, or its deletion. */
function entry(seq, key, { deleted, ...more } = {}) {
  const state = { name: "paid", seq, at: "2026-01-01T00:00:00.000Z", ...(key !== undefined && { key }) };
  return { ...state, ...(deleted ? { deleted } : { data: { total: seq } }), ...more };
}

const event = (seq, key, more) => ({ type: "event", topic: ORDER, ...entry(seq, key, more) });

async function history(line, { ref, after }, entries, has_more = false) {
  const through = entries.at(-1)?.seq ?? after;
  await line.send({ type: "history", topic: ORDER, ref, epoch: "e", entries, has_more, through });
}

/** A page that has asked for an order. */
async function asked(options, path = ORDER) {
  const script = new Script();
  await script.connect();
  const order = script.client.topic(path);
  const told = [];
  order.on("paid", ({ total }) => told.push(["paid", total]));
  order.on("event", ({ seq, live }) => told.push(["event", seq, live]));
  order.on("reset", () => told.push(["reset"]));
  order.on("refused", ({ error }) => told.push(["refused", error.code]));
  order.on("state", ({ state, isResumed }) => state === "live" && told.push(["live", isResumed]));
  script.note("subscribe", order.subscribe(options));
  return { script, line: script.line, order, told, command: await script.line.expect("subscribe") };
}

/** A page that has subscribed to an order. */
async function begun(through = 0, entries = [], more = {}) {
  const page = await asked();
  await page.line.subscribed(page.command, through, entries, more);
  page.told.length = 0;
  return page;
}

/** Lose the line; return the next one and its `subscribe`. */
async function again(script) {
  const line = await script.back();
  return [line, await line.expect("subscribe")];
}

const values = ({ values }) => Object.fromEntries([...values].map(([key, { total }]) => [key, total]));
const count = (line, kind) => line.types.filter((type) => type === kind).length;

test("a handler gets the data of its event", async () => {
  const { line, told } = await begun();
  await line.send(event(1), event(2));
  assert.deepEqual(told, [["paid", 1], ["event", 1, true], ["paid", 2], ["event", 2, true]]);
});

test("a page sees who is subscribed", async () => {
  const [ada, bob] = [["1", "Ada"], ["2", "Bob"]].map(([user_id, username]) => ({ user_id, username }));
  const { order, line } = await begun(0, [], { members: [ada], count: 1, rights: ["presence"] });
  const told = [];
  order.on("presence", ({ count, members }) => told.push([count, members.length]));
  assert.deepEqual([order.count, [...order.members.keys()]], [1, ["1"]]);
  for (const user of [bob, bob]) await line.send({ type: "joined", topic: ORDER, ...user }); // a repeat counts once
  await line.send({ type: "left", topic: ORDER, ...ada });
  assert.deepEqual([order.count, [...order.members.keys()]], [1, ["2"]]);
  await line.send({ type: "presence", topic: ORDER, count: 300, members: [] });
  assert.deepEqual([order.count, order.members.size], [300, 0]);
  await line.send({ type: "presence", topic: ORDER, count: 0, members: [] });
  assert.deepEqual(told, [[2, 2], [2, 2], [1, 1], [300, 0], [null, 0]]);
});

test("a topic without presence tells none", async () => {
  const { order } = await begun();
  assert.deepEqual([order.count, order.members.size], [null, 0]);
});

test("a page goes on from its moment, and the signature goes along with every later position", async () => {
  const { script, line, command, told } = await asked({ signature: "signed" });
  assert.deepEqual([command.since, "signature" in command], [{ at: "signed" }, false]);
  await line.subscribed(command, 2, [entry(2)]);
  assert.deepEqual(told, [["paid", 2], ["event", 2, false], ["live", true]]);
  const [, next] = await again(script);
  assert.deepEqual([next.since, next.signature], [{ seq: 2, epoch: "e" }, "signed"]);
});

test("the signature of a later page does not skip what came before it", async () => {
  const { script, line, order, command, told } = await asked({ signature: "first" });
  await line.subscribed(command, 2, [entry(2)]);
  script.note("again", order.subscribe({ signature: "second" }));
  told.length = 0;
  await line.send({ type: "resync", topic: ORDER });
  const next = await line.expect("subscribe");
  assert.deepEqual([next.since, next.signature], [undefined, "second"]);
  await line.subscribed(next, 3, [entry(3)]);
  assert.deepEqual(told[0], ["reset"]);
});

test("the values of the package are no values of the site", async () => {
  const { line, order, told } = await begun();
  await line.send(event(1, "realtime:refresh"), event(2, "courier"));
  assert.deepEqual([[...order.values.keys()], told.length], [["courier"], 4]);
});

test("a page that is too old begins anew without its signature", async () => {
  const { script, line, command, told } = await asked({ signature: "signed" });
  await line.refuse(command, "signature_expired");
  const next = await line.expect("subscribe");
  assert.ok(!("since" in next) && !("signature" in next));
  await line.subscribed(next, 2, [entry(2)]);
  assert.deepEqual(told, [["reset"], ["paid", 2], ["event", 2, false], ["live", false]]);
  assert.deepEqual(script.settled, [["subscribe", "ok"]]);
});

test("a page whose moment was purged is reset", async () => {
  const { line, command, told } = await asked({ signature: "signed" });
  await line.subscribed(command, 2, [], { recovered: false });
  assert.deepEqual(told, [["reset"], ["live", false]]);
});

test("a deletion comes to handlers of values and of all events, not to those of a name", async () => {
  const { order, line, told } = await begun(1, [entry(1, "a")]);
  const changes = [];
  order.on("value", ({ key, value, isDeleted }, { seq }) => changes.push([key, value, isDeleted, seq]));
  await line.send(event(2, "a", { deleted: true }), event(3, "b"));
  assert.deepEqual(told, [["event", 2, true], ["paid", 3], ["event", 3, true]]);
  assert.deepEqual(changes, [["a", undefined, true, 2], ["b", { total: 3 }, false, 3]]);
  assert.deepEqual(values(order), { b: 3 });
});

test("the pages of a snapshot are read to the end, and only then the topic is live", async () => {
  const { script, line, order, command, told } = await asked({ history: 5 });
  assert.deepEqual([command.history, "since" in command], [5, false]);
  await line.subscribed(command, 4, [entry(3, "a"), entry(4, "b")], { has_more: true, until: 9 });
  const second = await line.expect("subscribe");
  assert.deepEqual(second.since, { seq: 4, epoch: "e", until: 9 });
  assert.equal(order.state, "joining");
  await line.subscribed(second, 9, [entry(8, "c")], { has_more: true, until: 9 });
  const third = await line.expect("subscribe");
  assert.deepEqual(third.since, { seq: 9, epoch: "e", until: 9 });
  await line.subscribed(third, 11, [entry(10, "a", { deleted: true }), entry(11, "b")]);
  assert.deepEqual(values(order), { b: 11, c: 8 });
  assert.deepEqual(told.filter(([type]) => type === "live"), [["live", false]]);
  assert.deepEqual(script.settled, [["subscribe", "ok"]]);
});

test("a snapshot goes on after a lost connection", async () => {
  const { script, line, order, command, told } = await asked();
  await line.subscribed(command, 4, [entry(4, "b")], { has_more: true, until: 9 });
  await line.expect("subscribe");
  const [next, resumed] = await again(script);
  assert.deepEqual(resumed.since, { seq: 4, epoch: "e", until: 9 });
  await next.subscribed(resumed, 12, [entry(7, "c")]);
  assert.deepEqual(values(order), { b: 4, c: 7 });
  assert.ok(!told.some(([type]) => type === "reset"));
});

test("a subscription resumes from its position: missed events are told in order and once", async () => {
  const { script, line, told } = await begun(5);
  await line.send(event(6));
  const [next, command] = await again(script);
  assert.deepEqual(command.since, { seq: 6, epoch: "e" });
  await next.subscribed(command, 8, [entry(7), entry(8)]);
  await next.send(event(8), event(9));
  assert.deepEqual(told.filter(([type]) => type !== "paid"), [
    ["event", 6, true],
    ["event", 7, false],
    ["event", 8, false],
    ["live", true],
    ["event", 9, true],
  ]);
});

test("a gap is filled before anything newer", async () => {
  const { line, order, told } = await begun(5);
  await line.send(event(9));
  const first = await line.expect("history");
  assert.deepEqual([first.topic, first.after, order.state], [ORDER, 5, "stale"]);
  await line.send(event(10));
  await history(line, first, [entry(6), entry(7)], true);
  const second = await line.expect("history");
  assert.equal(second.after, 7);
  await history(line, second, [entry(8), entry(9), entry(10)]);
  assert.deepEqual(told.filter(([type]) => type === "event").map(([, seq]) => seq), [6, 7, 8, 9, 10]);
  assert.equal(order.state, "live");
});

test("an event that stands for several positions is no gap", async () => {
  const { line, order } = await begun(5);
  await line.send(event(8, "a", { from: 6 }));
  assert.equal(order.values.size, 1);
  assert.equal(count(line, "history"), 0);
});

test("the first event of a log tells its epoch", async () => {
  const { script, line } = await begun(0, [], { epoch: "" });
  await line.send(event(1, undefined, { epoch: "e" }));
  const [, command] = await again(script);
  assert.deepEqual(command.since, { seq: 1, epoch: "e" });
});

test("a topic without entries resumes from the beginning", async () => {
  const { script, told } = await begun(0, [], { epoch: "" });
  const [line, command] = await again(script);
  assert.deepEqual(command.since, { seq: 0, epoch: "" });
  await line.subscribed(command, 1, [entry(1)]);
  assert.deepEqual(told, [["paid", 1], ["event", 1, false], ["live", true]]);
});

test("events that are not stored are delivered as they come", async () => {
  const { line, told } = await begun(0, [], { epoch: "" });
  await line.send({ type: "event", topic: ORDER, name: "paid", data: { total: 3 } });
  assert.deepEqual(told, [["paid", 3], ["event", undefined, true]]);
  assert.equal(count(line, "history"), 0);
});

test("a resync replaces the values", async () => {
  const { line, order, told } = await begun(5, [entry(4, "a"), entry(5, "b")]);
  await line.send({ type: "resync", topic: ORDER, seq: 1, epoch: "f" });
  const command = await line.expect("subscribe");
  assert.equal(command.since, undefined);
  await line.subscribed(command, 1, [entry(1, "c")], { epoch: "f" });
  assert.deepEqual(values(order), { c: 1 });
  assert.equal(told.filter(([type]) => type === "reset").length, 1);
});

test("a topic that is refused is told", async () => {
  const { script, line, order, command, told } = await asked();
  await line.refuse(command, "unknown_topic");
  assert.deepEqual(script.settled, [["subscribe", "unknown_topic"]]);
  assert.deepEqual(told, [["refused", "unknown_topic"]]);
  assert.deepEqual([order.state, order.error.code], ["refused", "unknown_topic"]);
});

test("an older server that knows no topics refuses them as unsupported", async () => {
  const { line, order, command } = await asked();
  await line.refuse(command, "unknown_type", { topic: undefined });
  assert.deepEqual([order.state, order.error.code], ["refused", "unsupported"]);
});

test("a removed client forgets the values", async () => {
  const { line, order } = await begun(4, [entry(4, "a")]);
  await line.send({ type: "removed", topic: ORDER, code: "unknown_topic", message: "No." });
  assert.deepEqual([order.state, order.values.size], ["refused", 0]);
  await line.send(event(5));
  order.subscribe();
  assert.equal((await line.expect("subscribe")).since, undefined);
});

test("unsubscribing ends the events and keeps the position", async () => {
  const { line, order, told } = await begun(4, [entry(4, "a")]);
  order.unsubscribe();
  await line.send(event(5, "a"));
  assert.equal((await line.expect("unsubscribe")).topic, ORDER);
  order.subscribe();
  assert.deepEqual((await line.expect("subscribe")).since, { seq: 4, epoch: "e" });
  assert.deepEqual(values(order), { a: 4 });
  assert.deepEqual(told, []);
});

test("a subscription that was ended before its reply is ended at the server", async () => {
  const { line, order, command, told } = await asked();
  order.unsubscribe();
  await line.subscribed(command, 4, [entry(4)]);
  await line.expect("unsubscribe");
  assert.deepEqual([order.state, told], ["idle", []]);
});

test("subscribing twice sends one command", async () => {
  const { script, order } = await begun(4);
  await script.line.close();
  order.subscribe();
  order.subscribe();
  const line = await script.connect();
  const command = await line.expect("subscribe");
  order.subscribe();
  await line.subscribed(command, 4);
  assert.equal(count(line, "subscribe"), 1);
});

test("the server may give a topic its usual name", async () => {
  const { script, line, order, command, told } = await asked({}, "order/007");
  await line.subscribed({ ...command, topic: ORDER }, 0);
  await line.send(event(1));
  assert.equal(told.at(-1)[1], 1);
  assert.equal(order.path, ORDER);
  assert.equal(script.client.topic(ORDER), order);
  assert.equal(script.client.topic("order/007"), order);
});

test("two names of one topic are refused, and the first one goes on", async () => {
  const { script, line, told } = await begun();
  script.note("other", script.client.topic("order/007").subscribe());
  await line.subscribed({ ...(await line.expect("subscribe")), topic: ORDER }, 0);
  assert.deepEqual(script.settled.at(-1), ["other", "duplicate"]);
  await line.send(event(1));
  assert.deepEqual(told, [["paid", 1], ["event", 1, true]]);
  assert.equal(count(line, "unsubscribe"), 0);
});

const CALL = { reason: "late" };

async function called() {
  const page = await begun();
  const outcome = page.order.call("cancel", CALL).then(
    (data) => data,
    ({ code, path, outcome }) => [code, path, outcome],
  );
  return { ...page, outcome, command: await page.line.expect("call") };
}

test("a call settles with the data of its reply", async () => {
  const { line, outcome, command } = await called();
  assert.deepEqual([command.topic, command.name, command.data], [ORDER, "cancel", CALL]);
  await line.send({ type: "result", topic: ORDER, name: "cancelled", data: { by: "me" }, ref: command.ref });
  assert.deepEqual(await outcome, { by: "me" });
});

for (const fields of [{ code: "invalid_message", path: "data.reason" }, { code: "unavailable", outcome: "unknown", retryable: true }])
  test(`a call is rejected with ${fields.code}, once`, async () => {
    const { script, line, outcome, command } = await called();
    await line.refuse(command, fields.code, fields);
    assert.deepEqual(await outcome, [fields.code, fields.path, fields.outcome ?? "refused"]);
    await script.clock.passes(9);
    assert.equal(count(line, "call"), 1);
  });

test("a call whose connection is lost is not repeated, and its outcome is unknown", async () => {
  const { script, order, outcome } = await called();
  const [line, command] = await again(script);
  assert.deepEqual(await outcome, ["offline", undefined, "unknown"]);
  await line.subscribed(command, 0);
  assert.equal(count(line, "call"), 0);
  await line.close();
  await assert.rejects(order.call("cancel"), { code: "offline", outcome: "not_sent" });
});

test("another user gets none of the values", async () => {
  const { script, order } = await begun(4, [entry(4, "a")]);
  const line = await script.begin({ user: "2" });
  assert.equal(order.values.size, 0);
  await line.welcome("2");
  assert.equal((await line.expect("subscribe")).since, undefined);
});

for (const has_more of [false, true])
  test(`a handler may unsubscribe in the middle of a page, with ${has_more ? "another" : "no other"} page`, async () => {
    const { script, line, order, command } = await asked();
    order.on("paid", () => order.unsubscribe());
    await line.subscribed(command, 4, [entry(3, "a"), entry(4, "b")], { has_more });
    assert.deepEqual(script.settled, [["subscribe", "left"]]);
    assert.deepEqual(values(order), { a: 3 });
    await script.clock.passes(5);
    assert.equal(count(line, "subscribe"), 1);
    assert.equal(count(line, "unsubscribe"), has_more ? 0 : 1);
  });

test("a refusal that passes is tried again", async () => {
  const { script, line, order, command, told } = await asked();
  await line.refuse(command, "unavailable", { retryable: true, retry_after: 2 });
  assert.ok(order.retryAt > 0);
  await script.clock.passes(3);
  await line.subscribed(await line.expect("subscribe"), 0);
  assert.equal(order.state, "live");
  assert.equal(order.retryAt, null);
  assert.deepEqual(told, [["live", false]]);
});

test("a page is told once for all changes of a frame", async () => {
  const { line, order } = await begun();
  let changes = 0;
  order.on("change", () => changes++);
  await line.send(event(1, "a"), event(2, "b"), event(3));
  await settled();
  assert.equal(changes, 1);
});
