/** Snapshots that a screen follows. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Store } from "../src/store.js";

const settled = () => new Promise((resolve) => setImmediate(resolve));

function counter() {
  const parts = { count: 0, list: Object.freeze([]) };
  return { parts, store: new Store({ ...parts }, () => ({ ...parts })) };
}

test("a snapshot is frozen and stays the same until a part changes", () => {
  const { parts, store } = counter();
  const before = store.get();
  store.changed();
  assert.equal(store.get(), before);
  parts.count = 1;
  store.changed();
  assert.deepEqual(store.get(), { count: 1, list: [] });
  assert.ok(Object.isFrozen(store.get()));
  assert.deepEqual(before, { count: 0, list: [] });
});

test("the first snapshot stays readable", () => {
  const { parts, store } = counter();
  parts.count = 1;
  store.changed();
  assert.equal(store.get().count, 1);
  assert.equal(store.initial.count, 0);
});

test("a handler is called at once, and once for all changes of a task", async () => {
  const { parts, store } = counter();
  const told = [];
  store.subscribe(({ count }) => told.push(count));
  for (parts.count = 1; parts.count < 5; parts.count++) store.changed();
  assert.deepEqual(told, [0]);
  await settled();
  assert.deepEqual(told, [0, 5]);
  store.changed();
  await settled();
  assert.deepEqual(told, [0, 5]);
});

test("a handler that subscribes between a change and its microtask is called once", async () => {
  const { parts, store } = counter();
  store.subscribe(() => {});
  const told = [];
  parts.count = 1;
  store.changed();
  store.subscribe(({ count }) => told.push(count));
  await settled();
  assert.deepEqual(told, [1]);
});

test("a handler stops, also while others are called", async () => {
  const { parts, store } = counter();
  const told = [];
  const stops = [];
  for (const name of ["a", "b"])
    stops.push(
      store.subscribe(({ count }) => {
        told.push(`${name}${count}`);
        if (count) stops.forEach((stop) => stop());
      }),
    );
  parts.count = 1;
  store.changed();
  await settled();
  assert.deepEqual(told, ["a0", "b0", "a1"]);
  assert.equal(store.isHeard, false);
});

test("one function that subscribes twice is called twice", () => {
  const { store } = counter();
  let calls = 0;
  const handler = () => calls++;
  const stop = store.subscribe(handler);
  store.subscribe(handler);
  stop();
  assert.equal(calls, 2);
  assert.equal(store.isHeard, true);
});

test("a handler may change what the store shows", async () => {
  const { parts, store } = counter();
  const told = [];
  store.subscribe(({ count }) => {
    told.push(count);
    if (count === 1) {
      parts.count = 2;
      store.changed();
    }
  });
  parts.count = 1;
  store.changed();
  await settled();
  assert.deepEqual(told, [0, 1, 2]);
});

test("a handler that throws at its first call is reported, and can be stopped", async (context) => {
  const report = context.mock.method(console, "error", () => {}).mock;
  const { store } = counter();
  const stop = store.subscribe(() => {
    throw new Error("wrong");
  });
  assert.deepEqual([report.callCount(), store.isHeard], [1, true]);
  stop();
  assert.equal(store.isHeard, false);
});

test("a handler that throws is reported, and hurts no other", async (context) => {
  const report = context.mock.method(console, "error", () => {}).mock;
  const { parts, store } = counter();
  const told = [];
  store.subscribe(({ count }) => {
    if (count) throw new Error("wrong");
  });
  store.subscribe(({ count }) => told.push(count));
  parts.count = 1;
  store.changed();
  await settled();
  assert.deepEqual(told, [0, 1]);
  assert.equal(report.callCount(), 1);
});
