/**
 * What connections leave behind, with each add-on and with all of them; a rejection that nobody handles fails a test.
 * The long form: REALTIME_TEST_CONNECTS=1000 node --test test/growth.test.js
 */

import assert from "node:assert/strict";
import { setFlagsFromString } from "node:v8";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { runInNewContext } from "node:vm";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";

import { RealtimeClient } from "../src/client.js";
import { http } from "../src/http.js";
import { offline } from "../src/offline.js";
import { tabs } from "../src/tabs.js";
import { fakeServer } from "../src/testing.js";
import { Locks } from "./locks.js";
import { until } from "./until.js";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc");
const FEW = 50; // so that what is compiled once does not count
const MANY = Number(process.env.REALTIME_TEST_CONNECTS ?? 150);
const MOST_BYTES = 1_000_000; // mostly compiled code; a client that stays takes more than 10 KB
const PATIENCE_MS = 5000;
const ADDRESS = "https://example.com";

/** A page that notes its listeners. */
class Page extends EventTarget {
  hidden = false;
  #signals = new Map(); // of each listener

  get listeners() {
    return [...this.#signals.values()].filter((signal) => !signal?.aborted).length;
  }

  addEventListener(type, act, options) {
    this.#signals.set(act, options?.signal);
    super.addEventListener(type, act, options);
  }

  removeEventListener(type, act, options) {
    this.#signals.delete(act);
    super.removeEventListener(type, act, options);
  }
}

let server;
let channels;
const Channel = globalThis.BroadcastChannel;

/** Answer a request as a server does: a stream stays open until its client aborts it. */
async function answer(address, { body, signal }) {
  const welcome = { type: "welcome", connection: "c", user_id: "1", username: "1", heartbeat: 20, limits: {}, protocol: 1 };
  const joined = ({ ref, room }) => ({ type: "joined", room, ref, through: 0, epoch: "e", messages: [], members: [], count: 1 });
  const acknowledged = ({ ref, room, nonce }) => ({ type: "ack", room, ref, nonce, id: "1", seq: 1 });
  const commands = body.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const frames = [welcome, ...commands.map((command) => (command.type === "join" ? joined : acknowledged)(command))];
  if (!address.endsWith("?stream")) return new Response(frames.map((frame) => JSON.stringify(frame)).join("\n"));
  const text = frames.map((frame) => `data: ${JSON.stringify(frame)}\n\n`).join("");
  const stream = new ReadableStream({
    start(source) {
      source.enqueue(new TextEncoder().encode(text));
      signal.addEventListener("abort", () => source.error(signal.reason));
    },
  });
  return new Response(stream);
}

beforeEach(() => {
  server = fakeServer();
  channels = new Set();
  globalThis.document = new Page();
  globalThis.navigator = { locks: new Locks(), onLine: true };
  globalThis.location = new URL(ADDRESS);
  globalThis.indexedDB = new IDBFactory();
  globalThis.IDBKeyRange = IDBKeyRange;
  globalThis.BroadcastChannel = class extends Channel {
    constructor(name) {
      super(name);
      channels.add(this);
    }
    close() {
      channels.delete(this);
      super.close();
    }
  };
  const memory = JSON.stringify({ until: Date.now() + 600_000, isGathered: false });
  globalThis.sessionStorage = { getItem: () => memory, setItem() {} };
  globalThis.fetch = answer;
});

afterEach(() => {
  globalThis.BroadcastChannel = Channel;
  for (const name of ["document", "location", "indexedDB", "IDBKeyRange", "sessionStorage", "fetch"]) delete globalThis[name];
});

const WAYS = {
  tabs: () => ({ transport: server.transport, tabs: tabs() }),
  offline: () => ({ transport: server.transport, offline: offline({ keep: 5 }) }),
  http: () => ({ fallback: http() }),
  "all of them": () => ({ fallback: http(), tabs: tabs(), offline: offline({ keep: 5 }) }),
};

/** Connect, join, send and close; a turn of the clock lets the timers of this fire. */
async function use(options) {
  const client = new RealtimeClient({ ...options, user: "1", url: `${ADDRESS}/ws/`, clock: server.clock });
  client.on("error", ({ error }) => assert.fail(error));
  const room = client.room("general");
  const joined = room.join();
  await turned(joined);
  await turned(room.send("hi"));
  client.close();
  server.clock.tick(1);
  await new Promise((resolve) => setImmediate(resolve));
  server.room("general").restart();
  server.commands.length = 0;
}

/** Wait for a promise, while time passes. */
async function turned(promise) {
  let isDone = false;
  promise.finally(() => (isDone = true));
  while (!isDone) {
    server.clock.tick(0.1);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await promise;
}

async function heap() {
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    gc();
  }
  return process.memoryUsage().heapUsed;
}

for (const [name, options] of Object.entries(WAYS))
  test(`clients with ${name} that connect and close leave no growth`, async () => {
    for (let count = 0; count < FEW; count++) await use(options());
    const before = await heap();
    for (let count = 0; count < MANY; count++) await use(options());
    await until(() => !navigator.locks.names().length && !server.clock.waiting);
    assert.deepEqual([document.listeners, channels.size, server.connections], [0, 0, 0]);
    for (const end = Date.now() + PATIENCE_MS; ; await pause(50)) { // Node lets go of a closed channel later
      const grown = (await heap()) - before;
      if (grown < MOST_BYTES) break;
      assert.ok(Date.now() < end, `${grown} bytes`);
    }
  });
