/** The examples of the documents run as they are written, against a fake server. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { RealtimeClient } from "../src/client.js";
import { stores } from "../src/stores.js";
import { settled } from "../src/testing/clock.js";
import { fakeServer } from "../src/testing.js";

const read = (name) => readFile(new URL(`../../../docs/${name}`, import.meta.url), "utf8");
const AsyncFunction = (async () => {}).constructor;

/** A server with an order and metrics, and what the examples have shown. */
function given() {
  const server = fakeServer();
  const shown = [];
  server.room("general").message({ username: "bob", content: "before" });
  server.topic("order/7").answer("cancel", () => ({ by: "me" }));
  const client = new RealtimeClient({ transport: server.transport, clock: server.clock, stores: stores() });
  const show = (...detail) => shown.push(detail);
  return { server, client, shown, names: { RealtimeClient, client, room: client.room("general"), show, log: show, draw: show } };
}

/** Run a snippet. */
async function run(code, names) {
  await new AsyncFunction(...Object.keys(names), code)(...Object.values(names));
  await settled();
}

const snippets = async (name) => [...(await read(name)).matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code);

/** Return the snippet that contains a text. */
async function snippet(name, text) {
  const found = (await snippets(name)).filter((code) => code.includes(text));
  assert.equal(found.length, 1, text);
  return found[0];
}

test("the first example shows the history and what follows, each message once", async (context) => {
  const [, code] = (await read("client.md")).match(/<script type="module">\n(.*?)<\/script>/s);
  const { server } = given();
  const lines = [];
  context.mock.method(console, "log", (seq, username, content, live) => lines.push([seq, username, content, live]));
  const readConfig = () => ({ user: "guest:", transport: server.transport, clock: server.clock });
  server.user = { user_id: "guest:a", username: "Guest" };
  await run(code.replace(/import .*\n/, ""), { RealtimeClient, readConfig });
  server.room("general").message({ username: "bob", content: "after" });
  assert.deepEqual(lines, [[1, "bob", "before", false], [2, "Ada", "hello", true], [3, "bob", "after", true]]);
});

test("a client asks for its token", async (context) => {
  const { server } = given();
  let client;
  class Client extends RealtimeClient {
    constructor(options) {
      super({ ...options, transport: server.transport, clock: server.clock, stores: stores() });
      client = this;
    }
  }
  context.mock.method(globalThis, "fetch", async () => new Response("a ticket"));
  await run(await snippet("client.md", "/realtime/ticket"), { RealtimeClient: Client });
  client.connect();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(server.token, "a ticket");
});

test("a signal ends what it began", async () => {
  const { server, client, shown, names } = given();
  const { room, ...others } = names;
  await run(await snippet("client.md", "const page = new AbortController();"), others);
  server.room("general").message({ content: "late" });
  assert.deepEqual([shown, client.room("general").state], [[], "idle"]);
});

test("a room with two holders is joined until both are gone", async () => {
  const { server, client, names } = given();
  const { room, ...others } = names;
  await run(await snippet("client.md", "const [list, detail]"), others);
  await server.clock.tick(2);
  assert.equal(client.room("general").state, "live");
});

test("messages that wait are shown and dropped", async () => {
  const { client, shown, names } = given();
  await run(await snippet("client.md", "const [waiting] = room.pending"), names);
  assert.ok(shown.length > 0);
  assert.deepEqual(client.room("general").pending, []);
});

test("a topic has events, values and calls", async () => {
  const { server, names, shown } = given();
  await run(`${await snippet("client.md", "order.on(\"paid\"")}\nshow(by);`, names);
  server.topic("order/7").set("courier", "spot", { lat: 1 });
  assert.deepEqual(shown[0], ["me"]);
  assert.deepEqual(shown[1], ["courier", { lat: 1 }, false]);
});

test("the dashboard of the page about topics draws the values", async () => {
  const { server, names, shown } = given();
  delete names.draw;
  const metrics = server.topic("metrics");
  metrics.answer("clear", ({ key }) => void metrics.delete(key));
  metrics.set("web-1/cpu", "metric", { percent: 12.5 });
  await run(await snippet("topics.md", "const metrics"), names);
  assert.deepEqual(shown.slice(-2), [[["web-1/cpu: 12.5 %"]], [[]]]);
});

test("the list of the page about live models draws the rows", async () => {
  const { server, names, shown } = given();
  delete names.draw;
  const orders = server.topic("orders/7");
  orders.set("1", "order_row", { total: "9.99", state: "open" });
  await run(await snippet("live-models.md", "const orders"), names);
  assert.deepEqual(shown.at(-1), [["1: 9.99 open"]]);
  orders.set("2", "order_row", { total: "5.00", state: "open" });
  orders.delete("1");
  await settled();
  assert.deepEqual(shown.at(-1), [["2: 5.00 open"]]);
});

test("a screen follows the store of a room", async () => {
  const { client, shown, names } = given();
  await run(await snippet("client.md", "room.store.subscribe"), names);
  await client.room("general").join();
  await settled();
  assert.deepEqual(shown.at(-1).slice(1), [[], "live"]);
  assert.equal(shown.at(-1)[0][0].content, "before");
});

test("the latest cursors are shown", async () => {
  const { server, client, shown, names } = given();
  const board = await client.topic("board").subscribe();
  await run(await snippet("client.md", "board.recent"), { ...names, board });
  server.topic("board").signal("cursor", { user: "ada", x: 1 });
  await settled();
  assert.deepEqual(shown.at(-1), [[{ user: "ada", x: 1 }]]);
});

test("a loop shows messages until its signal", async () => {
  const { server, client, shown, names } = given();
  const ending = new AbortController();
  const loop = run(await snippet("client.md", "for await"), { ...names, signal: ending.signal });
  await client.room("general").join();
  server.room("general").message({ content: "after" });
  await settled();
  ending.abort();
  await loop;
  assert.deepEqual(shown, [["before"], ["after"]]);
});

test("a page is tested without a server", async () => {
  const { shown, names } = given();
  const code = (await snippet("client.md", "import { fakeServer }")).replace(/^import .*\n/gm, "");
  await run(code, { RealtimeClient, fakeServer, show: names.show });
  assert.deepEqual(shown, [["hi"], ["open"]]);
});

test("each snippet is run by a test", async () => {
  const others = 1; // in answers.test.js
  assert.equal((await snippets("client.md")).length, 9 + others);
});
