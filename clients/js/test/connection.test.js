/** The moves of a connection. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Clock } from "../src/clock.js";
import { Connection } from "../src/connection.js";
import { HandClock } from "./scripted.js";

const MOVES = [
  [[], "opened", "idle"],
  [[], "reset", "idle"],
  [[], "close", "closed"],
  [["connect"], "opened", "connecting"],
  [["connect"], "connect", "connecting"],
  [["connect"], "reset", "idle"],
  [["connect", "close"], "opened", "closed"],
  [["connect", "close"], "reset", "closed"],
  [["connect", "close"], "close", "closed"],
  [["connect", "close"], "connect", "connecting"],
];

for (const [before, after, state] of MOVES)
  test(`a connection after ${[...before, after].join(", ")} is ${state}`, () => {
    const none = () => {};
    const owner = { receive: none, moved: none, dropped: none, suspended: none, tick: none, failed: none };
    const transport = { open: () => null };
    const connection = new Connection({ transport, clock: new Clock(new HandClock()) }, owner);
    for (const step of before) connection[step]();
    connection[after]();
    assert.equal(connection.state, state);
  });

for (const isServed of [false, true])
  test(`the waits of a line that is cut early ${isServed ? "do not grow if it was served" : "grow"}`, async () => {
    const none = () => {};
    const clock = new HandClock();
    const waits = [];
    const moved = ({ retryIn }) => retryIn && waits.push(retryIn);
    const owner = { receive: none, moved, dropped: none, suspended: none, tick: none, failed: none };
    const line = { name: "http", bufferedAmount: 0, send: none, close: none };
    let told;
    const transport = { open: (target, given) => ((told = given), line) };
    const connection = new Connection({ transport, clock: new Clock(clock) }, owner);
    connection.connect();
    for (let cut = 0; cut < 20; cut++) {
      connection.opened();
      told.onEnd(1006, "", false, isServed);
      await clock.passes(waits.at(-1));
    }
    connection.close();
    assert.equal(waits.length, 20);
    assert.equal(Math.max(...waits) <= 1.5, isServed);
  });
