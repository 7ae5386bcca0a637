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
    const owner = { receive: none, changed: none, dropped: none, suspended: none, tick: none, failed: none };
    const transport = { open: () => null };
    const connection = new Connection({ transport, clock: new Clock(new HandClock()) }, owner);
    for (const step of before) connection[step]();
    connection[after]();
    assert.equal(connection.state, state);
  });
