/** Loops over events. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { iterate } from "../src/events.js";

class Source {
  handlers = new Set();
  on = (handler) => {
    this.handlers.add(handler);
    return () => this.handlers.delete(handler);
  };
  emit(...detail) {
    for (const handler of [...this.handlers]) handler(...detail);
  }
}

const overflow = () => Object.assign(new Error("The loop is too slow."), { code: "overflow" });

async function read(events, count) {
  const seen = [];
  for await (const event of events) if (seen.push(event) === count) break;
  return seen;
}

test("a loop gets what comes after the call, before its first step too", async () => {
  const source = new Source();
  source.emit("early");
  const events = iterate(source.on, undefined, overflow);
  source.emit("one");
  queueMicrotask(() => source.emit("data", "about"));
  assert.deepEqual(await read(events, 2), ["one", "about"]);
  assert.equal(source.handlers.size, 0);
});

test("a signal ends the loop, also one that has aborted before", async () => {
  const source = new Source();
  const controller = new AbortController();
  const events = iterate(source.on, controller.signal, overflow);
  setImmediate(() => controller.abort());
  assert.deepEqual(await read(events), []);
  assert.deepEqual(await read(iterate(source.on, controller.signal, overflow)), []);
  assert.equal(source.handlers.size, 0);
});

test("a signal ends what no loop has begun to read", () => {
  const source = new Source();
  const controller = new AbortController();
  iterate(source.on, controller.signal, overflow);
  controller.abort();
  assert.equal(source.handlers.size, 0);
});

test("a loop that is 1,000 events behind gets those and then the error", async () => {
  const source = new Source();
  const events = iterate(source.on, undefined, overflow);
  for (let at = 0; at < 1500; at++) source.emit(at);
  assert.equal(source.handlers.size, 0);
  const seen = [];
  const loop = async () => {
    for await (const event of events) seen.push(event);
  };
  await assert.rejects(loop, { code: "overflow" });
  assert.equal(seen.length, 1000);
  assert.equal(seen.at(-1), 999);
});

test("a loop that ends by an exception stops listening", async () => {
  const source = new Source();
  const events = iterate(source.on, undefined, overflow);
  source.emit(1);
  const loop = async () => {
    for await (const _ of events) throw new Error("wrong");
  };
  await assert.rejects(loop, { message: "wrong" });
  assert.equal(source.handlers.size, 0);
});

test("no listener stays at a signal that many loops share", async (context) => {
  const { signal } = new AbortController();
  const [add, remove] = ["addEventListener", "removeEventListener"].map((name) => context.mock.method(signal, name).mock);
  const source = new Source();
  for (let at = 0; at < 3; at++) {
    const events = iterate(source.on, signal, overflow);
    source.emit(at);
    await read(events, 1);
  }
  assert.equal(add.callCount(), remove.callCount());
});
