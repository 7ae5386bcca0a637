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
