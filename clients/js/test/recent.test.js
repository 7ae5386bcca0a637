/** The latest values of some seconds. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Recent } from "../src/recent.js";

/** A clock whose timers fire when the test says so. */
class HandClock {
  time = 0;
  timers = new Set();
  now = () => this.time;
  after(seconds, act) {
    const timer = { due: this.time + seconds, act };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }
  advance(seconds) {
    this.time += seconds;
    for (const timer of [...this.timers]) if (timer.due <= this.time && this.timers.delete(timer)) timer.act();
  }
}

const shown = (recent) => Object.fromEntries(recent.all);
const make = (clock = new HandClock(), changed = () => {}) => new Recent(5, clock, changed);

test("an entry ends after its seconds, counted from the latest value", () => {
  const clock = new HandClock();
  const recent = make(clock);
  recent.put("ada", 1);
  clock.advance(3);
  recent.put("bob", 2);
  recent.put("ada", 3);
  clock.advance(3);
  assert.deepEqual(shown(recent), { bob: 2, ada: 3 });
  clock.advance(2);
  assert.deepEqual(shown(recent), {});
});

test("all entries share one timer, and none is left", () => {
  const clock = new HandClock();
  const recent = make(clock);
  for (let key = 0; key < 100; key++) {
    recent.put(key, key);
    assert.equal(clock.timers.size, 1);
  }
  clock.advance(5);
  assert.equal(clock.timers.size, 0);
  recent.put("ada", 1);
  recent.clear();
  assert.equal(clock.timers.size, 0);
  assert.deepEqual(shown(recent), {});
});

test("the map is replaced when an entry changes, and only then", () => {
  let changes = 0;
  const recent = make(new HandClock(), () => changes++);
  recent.put("ada", 1);
  const before = recent.all;
  recent.delete("bob");
  assert.deepEqual([recent.all === before, changes], [true, 1]);
  recent.delete("ada");
  assert.deepEqual([recent.all === before, before.size, changes], [false, 1, 2]);
});

test("a key may have any name", () => {
  const recent = make();
  recent.put("__proto__", { wrong: true });
  assert.equal({}.wrong, undefined);
  assert.deepEqual([...recent.all.keys()], ["__proto__"]);
});
