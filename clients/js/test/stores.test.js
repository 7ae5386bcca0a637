/** What the stores of rooms, topics and the client show, and loops over their events. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { RealtimeClient } from "../src/client.js";
import { stores } from "../src/stores.js";
import { settled } from "../src/testing/clock.js";
import { fakeServer } from "../src/testing.js";

let server, client;

beforeEach(() => {
  server = fakeServer();
  client = new RealtimeClient({ transport: server.transport, clock: server.clock, stores: stores() });
});

afterEach(() => {
  client.close();
  assert.equal(server.clock.waiting, 0);
});

/** Follow a store. Returns what it tells. */
function follow(store) {
  const told = [];
  store.subscribe((snapshot) => told.push(snapshot));
  return told;
}

test("the store of a client tells the connection and the user", async () => {
  const told = follow(client.store);
  client.connect();
  await settled();
  server.drop();
  await settled();
  assert.deepEqual(told.map(({ state }) => state), ["idle", "connecting", "open", "waiting"]);
  const { userId, username, retryIn, code } = told.at(-1);
  assert.deepEqual([userId, username, retryIn > 0, code], ["1", "me", true, 1006]);
  assert.equal(client.store.initial.userId, null);
});

test("the store of a client tells a new name of the user", async () => {
  client.connect();
  await settled();
  const told = follow(client.store);
  server.send({ type: "authenticated", user_id: "1", username: "renamed" });
  await settled();
  assert.deepEqual(told.map(({ username }) => username), ["me", "renamed"]);
});

test("the store of a room tells once for all events of a frame", async () => {
  const room = client.room("general");
  await room.join();
  const told = follow(room.store);
  const { length } = told;
  server.together(() => {
    for (const content of ["a", "b"]) server.room("general").message({ content });
    server.room("general").enter({ username: "bob" });
  });
  assert.equal(room.store.get().messages.length, 2);
  assert.equal(told.length, length);
  await settled();
  assert.equal(told.length, length + 1);
  const { messages, members, count, state, hasMore } = told.at(-1);
  assert.deepEqual([messages.map(({ content }) => content), members.size, count, state, hasMore], [["a", "b"], 2, 2, "live", false]);
});

test("snapshots are frozen, and parts that did not change are the same", async () => {
  const room = client.room("general");
  await room.join();
  const before = room.store.get();
  server.room("general").enter({ username: "bob" });
  const after = room.store.get();
  assert.ok(Object.isFrozen(after) && Object.isFrozen(after.messages) && Object.isFrozen(after.pending));
  assert.notEqual(before, after);
  assert.equal(before.messages, after.messages);
  assert.equal(before.pending, after.pending);
  assert.equal(before.members.size, 1);
});

test("a room shows what the connection makes of it", async () => {
  const room = client.room("general");
  const states = () => told.map(({ state }) => state).filter((state, at, all) => state !== all[at - 1]);
  const told = follow(room.store);
  void room.join();
  await settled();
  server.drop();
  await server.clock.tick(30);
  assert.deepEqual(states(), ["idle", "joining", "live", "stale", "live"]);
  room.leave();
  await settled();
  assert.equal(states().at(-1), "idle");
  assert.equal(room.store.initial.state, "idle");
});

test("messages are shown as pending until the ack", async () => {
  const room = client.room("general");
  await room.join();
  const told = follow(room.store);
  await room.send("hi");
  await settled();
  const gists = told.map(({ pending, messages }) => [pending.map(({ status }) => status).join(), messages.length]);
  assert.deepEqual(gists.at(-1), ["", 1]);
  assert.ok(gists.some(([status]) => status === "sent"));
});

test("typing ends after 6 seconds, or with a message", async () => {
  const room = client.room("general");
  await room.join();
  const names = () => [...room.store.get().typing.values()].map(({ username }) => username);
  for (const username of ["ada", "bob"]) server.room("general").typing({ username });
  assert.deepEqual(names(), ["ada", "bob"]);
  server.room("general").message({ username: "ada", content: "hi" });
  assert.deepEqual(names(), ["bob"]);
  await server.clock.tick(6);
  assert.deepEqual(names(), []);
});

test("the store of a topic has its values and its latest entry", async () => {
  const courier = server.topic("order/7");
  courier.set("courier", "spot", { lat: 1 });
  const order = client.topic("order/7");
  await order.subscribe();
  const before = order.store.get();
  assert.deepEqual([[...before.values], before.last.name, before.state], [[["courier", { lat: 1 }]], "spot", "live"]);
  courier.event("paid", { total: "5" });
  assert.equal(order.store.get().values, before.values);
  courier.delete("courier");
  const { values, last } = order.store.get();
  assert.deepEqual([values.size, before.values.size, last.deleted], [0, 1, true]);
});

test("a topic keeps as many of its newest events as the page asks for", async () => {
  const orders = server.topic("orders");
  for (const at of [1, 2, 3]) orders.event("paid", { at });
  const topic = client.topic("orders");
  await topic.subscribe({ history: 3, keep: 2 });
  const seen = () => topic.store.get().entries.map(({ data }) => data.at);
  assert.deepEqual(seen(), [2, 3]);
  const before = topic.store.get().entries;
  orders.signal("paid", { at: "not stored" });
  orders.set("courier", "spot", { at: "a value" });
  assert.equal(topic.store.get().entries, before);
  orders.event("paid", { at: 4 });
  assert.deepEqual([seen(), before.length, Object.isFrozen(before)], [[3, 4], 2, true]);
  orders.restart();
  await settled();
  assert.deepEqual(seen(), []);
});

test("a key of a value may have any name", async () => {
  const order = client.topic("order/7");
  await order.subscribe();
  server.topic("order/7").set("__proto__", "spot", { wrong: 1 });
  assert.deepEqual([...order.store.get().values.keys()], ["__proto__"]);
  assert.equal({}.wrong, undefined);
});

test("recent values are a store that forgets", async () => {
  const board = client.topic("board");
  await board.subscribe();
  const ending = new AbortController();
  const cursors = board.recent("cursor", { by: ({ user }) => user, seconds: 5, signal: ending.signal });
  const told = follow(cursors);
  const move = (user, x) => server.topic("board").signal("cursor", { user, x });
  move("ada", 1);
  move("ada", 2);
  await server.clock.tick(3);
  move("bob", 3);
  await server.clock.tick(3);
  assert.deepEqual(told.map((map) => [...map.keys()].join()), ["", "ada", "ada,bob", "bob"]);
  assert.equal(told[1].get("ada").x, 2);
  ending.abort();
  move("eve", 1);
  assert.equal(cursors.get().size, 0);
});

test("a loop gets the events of a room, and the entries of a topic", async () => {
  const [room, order] = [client.room("general"), client.topic("order/7")];
  const contents = room.events("message");
  const entries = order.events("paid");
  await Promise.all([room.join(), order.subscribe()]);
  server.room("general").message({ content: "a" });
  server.topic("order/7").event("paid", { total: "5" });
  const { value: first } = await contents.next();
  const { value: second } = await entries.next();
  assert.deepEqual([first.message.content, second.data.total, second.seq], ["a", "5", 1]);
  await Promise.all([contents.return(), entries.return()]);
});

test("a loop ends with its signal", async () => {
  const room = client.room("general");
  const ending = new AbortController();
  await room.join();
  const seen = [];
  const loop = (async () => {
    for await (const { message } of room.events("message", { signal: ending.signal })) {
      seen.push(message.content);
      if (seen.length === 2) ending.abort();
    }
  })();
  for (const content of ["a", "b", "c"]) server.room("general").message({ content });
  await loop;
  assert.deepEqual(seen, ["a", "b"]);
});

test("a page without the add-on hears what is missing", () => {
  const plain = new RealtimeClient({ transport: server.transport, clock: server.clock });
  const room = plain.room("general");
  const uses = [() => plain.store, () => room.store, () => room.recent("typing", {}), () => room.events("message")];
  for (const use of uses) assert.throws(use, { name: "TypeError", message: /`stores: stores\(\)` of realtime\/stores\.js/ });
});

test("a screen that follows a store keeps its room", async () => {
  const seen = [];
  client.room("general").store.subscribe(({ state }) => seen.push(state));
  await settled();
  globalThis.gc?.();
  await client.room("general").join();
  await settled();
  assert.equal(seen.at(-1), "live");
});
