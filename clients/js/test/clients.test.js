/** The clients of the smaller files, and what a page is told that gives them too little or something else. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { RealtimeClient as Client } from "../src/client.js";
import { RealtimeClient as Core } from "../src/core.js";
import { offline } from "../src/offline.js";
import { stores } from "../src/stores.js";
import { fakeServer } from "../src/testing.js";
import { RealtimeClient as TopicsClient } from "../src/topics.js";
import { load } from "../fixtures/bundle.js";
import { Script } from "./scripted.js";

function connected(Some, options) {
  const server = fakeServer();
  const client = new Some({ transport: server.transport, clock: server.clock, ...options });
  client.connect();
  return new Promise((resolve) => client.on("welcome", () => queueMicrotask(() => resolve({ client, server }))));
}

test("the core connects, sends requests and tells what is pushed", async () => {
  const { client, server } = await connected(Core);
  const told = [];
  client.on("signal", ({ data }) => told.push(data.unread));
  client.on("notice", ({ text }) => told.push(text));
  server.send({ type: "signal", data: { unread: 3 } });
  server.send({ type: "notice", level: "info", text: "Back soon." });
  server.topic("order/7").answer("cancel", () => ({ by: "ada" }));
  const { data } = await client.request({ type: "call", topic: "order/7", name: "cancel", data: {} });
  assert.deepEqual([client.state, data, told], ["open", { by: "ada" }, [3, "Back soon."]]);
  server.drop();
  await server.clock.tick(30);
  assert.equal(client.state, "open");
  await client.forget();
  assert.equal(client.state, "closed");
});

test("the core takes the add-ons that need no room or topic", async () => {
  const script = new Script({ user: "1" }, Core);
  const seen = [];
  script.client.store.subscribe(({ state }) => seen.push(state));
  script.client.answer("confirm", () => ({ isSure: true }));
  const line = await script.connect("1");
  await line.send({ type: "ask", ref: "q1", name: "confirm", data: {}, timeout: 5 });
  assert.deepEqual((await line.expect("answer")).data, { isSure: true });
  assert.deepEqual([seen[0], seen.at(-1)], ["idle", "open"]);
});

test("the core is one user", async () => {
  const script = new Script({ user: "1" }, Core);
  await script.connect("2");
  assert.deepEqual([script.client.state, script.client.status.code], ["closed", "identity_changed"]);
});

test("the core tells that the site has put it into a room, and nothing of what happens there", async () => {
  const script = new Script({}, Core);
  const line = await script.connect();
  const joined = [];
  script.client.on("joined", ({ room }) => joined.push(room));
  await line.send({ type: "joined", room: "lobby", through: 0, epoch: "e", messages: [], members: [] });
  for (const type of ["message", "changed", "event", "room", "left", "presence", "typing", "removed", "resync"]) await line.send({ type, room: "lobby" });
  await line.send({ type: "later", room: "lobby" });
  assert.deepEqual([joined, script.details("unknown").map(({ type }) => type), script.client.state], [["lobby"], ["later"], "open"]);
});

test("the client of topics subscribes, calls and resumes", async () => {
  const { client, server } = await connected(TopicsClient, { stores: stores() });
  const order = await client.topic("order/7").subscribe({ keep: 5 });
  const paid = [];
  order.on("paid", ({ total }) => paid.push(total));
  server.topic("order/7").event("paid", { total: "9" });
  server.drop();
  server.topic("order/7").event("paid", { total: "10" });
  await server.clock.tick(30);
  assert.deepEqual([order.state, paid, order.store.get().last.data.total], ["live", ["9", "10"], "10"]);
  client.close();
});

for (const [name, Some, act, file] of [
  ["a room", Core, (client) => client.room("general"), /has no rooms.* realtime\/client\.js/],
  ["a room", TopicsClient, (client) => client.room("general"), /has no rooms.* realtime\/client\.js/],
  ["a topic", Core, (client) => client.topic("order/7"), /has no topics.* realtime\/topics\.js or realtime\/client\.js/],
  ["an answer", Core, (client) => client.answer("confirm", () => {}), /`answers: answers\(\)` of realtime\/answers\.js/],
  ["a store", Client, (client) => client.store, /`stores: stores\(\)` of realtime\/stores\.js/],
])
  test(`without the file for ${name}, an error names it to a client of ${Some === Core ? "core.js" : Some === Client ? "client.js" : "topics.js"}`, () => {
    assert.throws(() => act(new Some()), { name: "TypeError", message: file });
  });

for (const [name, Some] of Object.entries({ core: Core, topics: TopicsClient }))
  test(`a client of ${name}.js has nothing to keep offline`, () => {
    const create = () => new Some({ user: "1", offline: offline() });
    assert.throws(create, { name: "TypeError", message: /has no rooms.* realtime\/client\.js/ });
  });

const wrong = { "another release": Object.assign(() => ({}), { version: 0 }), "a file that was not called": stores, "no add-on": {} };

for (const [what, option] of Object.entries(wrong))
  for (const name of ["stores", "answers"])
    test(`the option \`${name}\` of ${what} is refused with the name of its file`, () => {
      const message = new RegExp(`\`${name}\\(\\)\` of realtime/${name}\\.js, of the same release`);
      assert.throws(() => new Client({ [name]: option }), { name: "TypeError", message });
    });

test("the files work together as they are built", async () => {
  const built = async (name) => import(new URL(`../../../realtime/static/realtime/${name}.js`, import.meta.url));
  const [{ RealtimeClient }, { stores }, { answers }] = await Promise.all(["topics", "stores", "answers"].map(built));
  const { client, server } = await connected(RealtimeClient, { stores: stores(), answers: answers() });
  const order = await client.topic("order/7").subscribe();
  server.topic("order/7").set("courier", "moved", { lat: 1 });
  assert.deepEqual([...order.store.get().values], [["courier", { lat: 1 }]]);
  client.close();
});

test("an application that imports the core gets nothing of rooms and topics", async () => {
  const bundle = async (file) => {
    const code = `export { RealtimeClient } from "../src/${file}.js";`;
    const name = `only-${file}`;
    await load({ name, code }, { minify: true });
    return readFile(new URL(`../node_modules/.cache/${name}.cjs`, import.meta.url), "utf8");
  };
  const [core, topics, client] = await Promise.all(["core", "topics", "client"].map(bundle));
  const holds = (code) => ["unsubscribe", "realtime:", "queue_full"].filter((word) => code.includes(word));
  assert.deepEqual([core, topics, client].map((code) => holds(code).length), [0, 2, 3]);
  assert.ok(core.length < topics.length && topics.length < client.length);
});

