/** What a client leaves behind, and what it keeps. */

import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { test } from "node:test";
import { runInNewContext } from "node:vm";

import { RealtimeClient } from "../src/client.js";
import { fakeServer } from "../src/testing.js";
import { message, Script, settled } from "./scripted.js";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc");

async function collect() {
  for (let turn = 0; turn < 3; turn++) {
    await settled();
    gc();
  }
}

const heap = async () => (await collect(), process.memoryUsage().heapUsed);

test("1,000 clients that connect and close leave no growth", async () => {
  const server = fakeServer();
  const page = new AbortController(); // lives longer than all of them
  const use = async () => {
    const client = new RealtimeClient({ transport: server.transport, clock: server.clock, signal: page.signal });
    const room = client.room("general");
    room.on("message", () => {});
    await room.join({ signal: page.signal, linger: 1 });
    await room.send("hi");
    await client.topic("order/7").subscribe({ signal: page.signal });
    client.close();
    server.room("general").restart();
    server.commands.length = 0;
  };
  for (let count = 0; count < 50; count++) await use();
  const before = await heap();
  for (let count = 0; count < 1000; count++) await use();
  const grown = (await heap()) - before;
  assert.ok(grown < 1_000_000, `${grown} bytes`);
  assert.equal(server.clock.waiting, 0);
  assert.equal(server.connections, 0);
});

test("one client that connects and closes 1,000 times does not grow", async () => {
  const server = fakeServer();
  const client = new RealtimeClient({ transport: server.transport, clock: server.clock });
  const use = async () => {
    await client.room("general").join();
    client.connect();
    await settled();
    client.close();
    server.commands.length = 0;
    client.connect();
    await settled();
  };
  for (let count = 0; count < 50; count++) await use();
  const before = await heap();
  for (let count = 0; count < 1000; count++) await use();
  const grown = (await heap()) - before;
  assert.ok(grown < 500_000, `${grown} bytes`);
  client.close();
  assert.equal(server.clock.waiting, 0);
});

test("handles that nothing uses are collected, and others are kept", async () => {
  const script = new Script();
  await script.connect();
  await script.enter();
  const refs = new Map();
  const make = (name, use) => {
    const room = script.client.room(name);
    use(room);
    refs.set(name, new WeakRef(room));
  };
  make("unused", () => {});
  make("heard", (room) => room.on("message", () => {}));
  make("stopped", (room) => room.on("message", () => {})());
  make("held", (room) => room.join());
  make("left", (room) => (room.join(), room.leave()));
  make("failed", (room) => room.send("early"));
  make("followed", (room) => room.store.subscribe(() => {}));
  make("no longer followed", (room) => room.store.subscribe(() => {})());
  make("lingering", (room) => {
    const holder = new AbortController();
    room.join({ signal: holder.signal, linger: 60 });
    holder.abort();
  });
  make("waiting", (room) => {
    room.join();
    room.send("waits");
    room.leave();
  });
  make("discarded", (room) => {
    room.send("early");
    room.discard(room.pending[0].nonce);
  });
  await collect();
  const kept = [...refs].filter(([, ref]) => ref.deref()).map(([name]) => name);
  assert.deepEqual(kept, ["heard", "held", "failed", "followed", "lingering", "waiting"]);
});

test("many handles in a loop leave no growth", async () => {
  const script = new Script();
  await script.connect();
  const before = await heap();
  for (let turn = 0; turn < 8; turn++) {
    for (let at = 0; at < 2000; at++) script.client.topic(`t/${turn}/${at}`);
    await collect();
  }
  const grown = (await heap()) - before;
  assert.ok(grown < 2_000_000, `${grown} bytes`);
});

test("a room keeps its newest messages, and what the page has loaded", async () => {
  const script = new Script({ keep: 100 });
  const line = await script.connect();
  await script.enter(1000, { messages: [message(1000)], has_more: true });
  for (let seq = 1001; seq <= 1200; seq++) await line.send({ type: "message", room: "general", ...message(seq) });
  assert.ok(script.room.messages.length >= 100 && script.room.messages.length <= 125);
  assert.equal(script.room.hasMore, true);
  const [{ seq }] = script.room.messages;
  const loading = script.room.history({ limit: 100 });
  const { ref, before } = await line.expect("history");
  assert.equal(before, seq);
  const page = Array.from({ length: 100 }, (_, at) => message(seq - 100 + at));
  await line.send({ type: "history", room: "general", ref, epoch: "e", messages: page, has_more: true });
  await loading;
  const { length } = script.room.messages;
  for (let next = 1201; next <= 1240; next++) await line.send({ type: "message", room: "general", ...message(next) });
  assert.ok(script.room.messages.length >= length);
  script.room.trim(10);
  assert.deepEqual(script.room.messages.map((one) => one.seq), Array.from({ length: 10 }, (_, at) => 1231 + at));
});

test("stores of the latest values end with their signals", async () => {
  const board = new Script().client.topic("board");
  const use = () => {
    const ends = new AbortController();
    board.recent("cursor", { by: () => 1, seconds: 5, signal: ends.signal });
    ends.abort();
  };
  for (let count = 0; count < 1000; count++) use();
  const before = await heap();
  for (let count = 0; count < 10_000; count++) use();
  const grown = (await heap()) - before;
  assert.ok(grown < 500_000, `${grown} bytes`);
});
