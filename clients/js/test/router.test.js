/** The leader's part without locks and channels: seats that end while the server answers, and frames that are none. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Router } from "../src/router.js";

let router;
let sent; // to the server
let delivered; // [frame, seat]

const say = (seat, ...commands) => router.send(commands.map((command) => JSON.stringify(command)).join("\n"), seat);
const hear = (...frames) => router.receive(frames.map((frame) => JSON.stringify(frame)).join("\n"));
const joined = (room, ref) => ({ type: "joined", room, ref, through: 0 });
const asked = () => delivered.filter(([{ type }]) => type === "ask").map(([, seat]) => seat);

beforeEach(() => {
  [sent, delivered] = [[], []];
  const deliver = (text, seat) => delivered.push([JSON.parse(text), seat]);
  router = new Router("leader", { clock: { serverNow: () => 0 }, deliver, opened() {} });
  router.line = { send: (text) => sent.push(...text.split("\n").map((line) => JSON.parse(line))) };
  for (const seat of ["one", "two"]) router.admit(seat, true);
});

test("a room is left that a seat has entered after its end", () => {
  say("one", { type: "join", room: "r", ref: 1 });
  router.dismiss("one");
  hear(joined("r", sent[0].ref));
  assert.deepEqual(sent.slice(1), [{ type: "leave", room: "r" }]);
});

test("a room stays that another seat is about to enter", () => {
  say("one", { type: "join", room: "r", ref: 1 });
  say("two", { type: "join", room: "r", ref: 1 });
  router.dismiss("one");
  hear(joined("r", sent[0].ref), joined("r", sent[1].ref));
  assert.equal(sent.length, 2);
});

test("a batch that was refused as a whole keeps no room", () => {
  say("one", { type: "joins", rooms: [{ room: "r" }, { room: "q" }], ref: 1 });
  hear({ type: "error", code: "rate_limited", ref: sent[0].ref });
  say("two", { type: "join", room: "r", ref: 1 });
  hear(joined("r", sent[1].ref));
  say("two", { type: "leave", room: "r", ref: 2 });
  assert.equal(sent.at(-1).type, "leave");
});

test("a question goes on to the next seat if the one that was asked ends", () => {
  hear({ type: "ask", ref: "q", name: "confirm", timeout: 5 });
  router.dismiss("two");
  assert.deepEqual(asked(), ["two", "one"]);
  router.dismiss("one");
  assert.deepEqual(asked(), ["two", "one", "leader"]);
});

test("a question passes over a seat that has ended", () => {
  hear({ type: "ask", ref: "q", name: "confirm", timeout: 5 });
  router.dismiss("one");
  say("two", { type: "answer", ref: "q", code: "no_handler" });
  assert.deepEqual(asked(), ["two", "leader"]);
});

test("the last seat that has a question answers for all", () => {
  router.dismiss("one");
  hear({ type: "ask", ref: "q", name: "confirm", timeout: 5 });
  router.dismiss("leader");
  say("two", { type: "answer", ref: "q", code: "no_handler" });
  assert.deepEqual([asked(), sent.map(({ code }) => code)], [["two"], ["no_handler"]]);
});

for (const text of ["null", "{"])
  test(`the leader alone gets ${text}, and ends the line`, () => {
    const got = [];
    router = new Router("leader", { clock: {}, deliver: (line, seat) => got.push([line, seat]), opened() {} });
    router.receive(text);
    assert.deepEqual(got, [[text, "leader"]]);
  });

for (const [kind, enter, entered, event] of [["room", "join", "joined", "message"], ["topic", "subscribe", "subscribed", "event"]]) {
  const reply = (through, more) => ({ type: entered, [kind]: "r", through, ref: sent.at(-1).ref, ...more });
  const told = (seat) => delivered.filter(([{ type }, to]) => to === seat && type !== entered).map(([frame]) => frame);
  const enters = (seat, ...more) => (say(seat, { type: enter, [kind]: "r", ref: 1 }), hear(reply(...more)));

  test(`what came to a ${kind} while a seat entered it is made known to the others`, () => {
    enters("one", 3);
    enters("two", 3);
    hear({ type: event, [kind]: "r", seq: 4 });
    enters("leader", 4);
    assert.deepEqual([told("one"), told("two"), told("leader")], [[], [], []]);
    enters("leader", 6);
    const gap = { type: event, [kind]: "r", seq: 6, from: 7 };
    assert.deepEqual([told("one"), told("two"), told("leader")], [[gap], [gap], []]);
    hear({ type: "resync", [kind]: "r", seq: 0, epoch: "new" });
    enters("one", 1);
    enters("two", 2);
    assert.deepEqual(told("one").at(-1), { type: event, [kind]: "r", seq: 2, from: 3 });
  });

  test(`a ${kind} that could not be entered again is entered again by the others`, () => {
    enters("one", 3);
    say("two", { type: enter, [kind]: "r", ref: 1 });
    hear({ type: "error", code: "unavailable", [kind]: "r", ref: sent.at(-1).ref });
    assert.deepEqual(told("one").map(({ type, code }) => [type, code]), [["removed", "unavailable"]]);
  });
}

for (const [end, act] of Object.entries({
  "that ends": () => router.dismiss("two"),
  "that leaves": () => say("two", { type: "unsubscribe", topic: "t", ref: 2 }),
  "that has ended": null,
}))
  test(`the server sends the others no events while a seat gets a snapshot: one ${end}`, () => {
    say("one", { type: "subscribe", topic: "t", ref: 1 });
    hear({ type: "subscribed", topic: "t", through: 3, ref: sent.at(-1).ref });
    say("two", { type: "subscribe", topic: "t", ref: 1 });
    if (!act) router.dismiss("two");
    hear({ type: "subscribed", topic: "t", through: 2, has_more: true, ref: sent.at(-1).ref });
    act?.();
    const removed = delivered.filter(([{ type }]) => type === "removed");
    assert.deepEqual(removed.map(([{ topic, code }, seat]) => [topic, code, seat]), [["t", "unavailable", "one"]]);
  });

test("the others learn at the end of a snapshot what came meanwhile", () => {
  say("one", { type: "subscribe", topic: "t", ref: 1 });
  hear({ type: "subscribed", topic: "t", through: 3, ref: sent.at(-1).ref });
  for (const [through, has_more] of [[2, true], [5, false]]) {
    say("two", { type: "subscribe", topic: "t", ref: 1 });
    hear({ type: "subscribed", topic: "t", through, has_more, ref: sent.at(-1).ref });
  }
  assert.deepEqual(delivered.filter(([, seat]) => seat === "one").map(([frame]) => frame).at(-1), { type: "event", topic: "t", seq: 5, from: 6 });
});
