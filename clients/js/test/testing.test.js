/** The fake server, seen from a line to it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { settled } from "../src/testing/clock.js";
import { fakeServer } from "../src/testing.js";

/** A line to the server, with all frames that it got. */
class Line {
  frames = [];
  texts = [];
  ends = [];
  #closing = new AbortController();

  constructor(server, token = async () => null) {
    const target = { token, url: async () => new URL("ws://fake/"), subprotocols: [], signal: this.#closing.signal };
    this.line = server.transport.open(target, {
      onFrame: (text) => {
        this.texts.push(text);
        this.frames.push(...text.split("\n").map((line) => JSON.parse(line)));
      },
      onEnd: (code) => this.ends.push(code),
    });
  }

  static async open(server) {
    const line = new Line(server);
    await settled();
    return line;
  }

  abort() {
    this.#closing.abort();
  }

  async ask(command) {
    this.line.send(JSON.stringify({ ...command, ref: 7 }));
    await settled();
    return this.frames.findLast(({ ref }) => ref === 7);
  }

  latest(type) {
    return this.frames.findLast((frame) => frame.type === type);
  }
}

test("a line is welcomed, and pings are answered", async () => {
  const line = await Line.open(fakeServer({ user: { user_id: "5", username: "eve" } }));
  const { user_id, username, protocol, server_time } = line.frames[0];
  assert.deepEqual([user_id, username, protocol, server_time], ["5", "eve", "realtime.v1", "2030-01-01T00:00:00.000Z"]);
  assert.equal((await line.ask({ type: "ping", t: 3 })).t, 3);
});

test("attempts fail while the server is down, or the token does", async () => {
  const server = fakeServer();
  server.isDown = true;
  const line = await Line.open(server);
  assert.deepEqual([line.frames, line.ends], [[], [1006]]);
  const other = new Line(server, async () => Promise.reject(new Error("no token")));
  await settled();
  assert.deepEqual(other.ends, [1006]);
  assert.equal(server.connections, 0);
});

test("a line that was aborted is told nothing any more", async () => {
  const server = fakeServer();
  const early = new Line(server);
  early.abort();
  const late = await Line.open(server);
  late.abort();
  server.drop();
  server.send({ type: "notice" });
  await settled();
  assert.deepEqual([early.frames, early.ends, late.frames.length, late.ends, server.connections], [[], [], 1, [], 0]);
});

test("a room brings its history, and what happens in it", async () => {
  const server = fakeServer();
  const line = await Line.open(server);
  const room = server.room("general");
  for (const content of ["a", "b", "c"]) room.message({ content });
  const joined = await line.ask({ type: "join", room: "general", history: 2 });
  assert.deepEqual(joined.messages.map(({ content }) => content), ["b", "c"]);
  assert.deepEqual([joined.through, joined.has_more, joined.recovered, joined.count], [3, true, false, 1]);
  room.message({ username: "bob", content: "d" });
  assert.equal(line.latest("message").seq, 4);
  room.change(4, { deleted: true });
  assert.deepEqual([line.latest("changed").message.content, line.latest("changed").seq], [undefined, 5]);
  room.enter({ username: "bob" });
  assert.equal((await line.ask({ type: "presence", room: "general" })).count, 2);
});

test("a room resumes from a position", async () => {
  const server = fakeServer();
  const room = server.room("general");
  const messages = ["a", "b", "c"].map((content) => room.message({ content }));
  room.change(messages[0].id, { content: "A" });
  const line = await Line.open(server);
  const joined = await line.ask({ type: "join", room: "general", since: { seq: 2, epoch: "1" } });
  assert.deepEqual(joined.messages.map(({ content }) => content), ["c", "A"]);
  assert.equal(joined.recovered, true);
  room.restart();
  assert.equal(line.latest("resync").room, "general");
  const again = await line.ask({ type: "join", room: "general", since: { seq: 2, epoch: "1" } });
  assert.deepEqual([again.recovered, again.epoch, again.through], [false, "2", 0]);
});

test("what was missed is read by pages", async () => {
  const server = fakeServer();
  const line = await Line.open(server);
  for (let at = 0; at < 5; at++) server.room("general").message({ content: String(at) });
  const page = await line.ask({ type: "history", room: "general", after: 1, limit: 3 });
  assert.deepEqual([page.through, page.has_more, page.messages.length], [4, true, 3]);
  const last = await line.ask({ type: "history", room: "general", after: 4 });
  assert.deepEqual([last.through, last.has_more, last.messages.length], [5, false, 1]);
  const earlier = await line.ask({ type: "history", room: "general", before: 3, limit: 1 });
  assert.deepEqual(earlier.messages.map(({ seq }) => seq), [2]);
});

test("a message is stored once for each nonce, and only from inside the room", async () => {
  const server = fakeServer();
  const line = await Line.open(server);
  const message = { type: "message", room: "general", content: "hi", nonce: "n" };
  assert.equal((await line.ask(message)).code, "not_joined");
  await line.ask({ type: "join", room: "general" });
  assert.deepEqual([(await line.ask(message)).seq, (await line.ask(message)).seq], [1, 1]);
  assert.equal(server.room("general").messages.length, 1);
});

test("a topic brings its values and newest events, and answers calls", async () => {
  const server = fakeServer();
  const order = server.topic("order/7");
  order.set("courier", "spot", { lat: 1 });
  order.set("courier", "spot", { lat: 2 });
  order.set("gone", "spot", {});
  order.delete("gone");
  order.event("paid", { total: "5" });
  const line = await Line.open(server);
  const { entries } = await line.ask({ type: "subscribe", topic: "order/7", history: 1 });
  assert.deepEqual(entries.map(({ name, seq }) => [name, seq]), [["spot", 2], ["paid", 5]]);
  order.answer("cancel", ({ reason }) => {
    if (!reason) throw { code: "invalid_message", path: "data.reason" };
    return { by: "ada" };
  });
  const { type, data } = await line.ask({ type: "call", topic: "order/7", name: "cancel", data: { reason: "late" } });
  assert.deepEqual([type, data], ["result", { by: "ada" }]);
  assert.equal((await line.ask({ type: "call", topic: "order/7", name: "cancel" })).path, "data.reason");
  assert.equal((await line.ask({ type: "call", topic: "order/7", name: "fly" })).code, "unknown_type");
});

test("an event that is not stored reaches the subscribers only", async () => {
  const server = fakeServer();
  const [inside, outside] = [await Line.open(server), await Line.open(server)];
  await inside.ask({ type: "subscribe", topic: "order/7" });
  server.topic("order/7").signal("blink", { on: true });
  assert.deepEqual([inside.latest("event").data, outside.latest("event")], [{ on: true }, undefined]);
});

test("batches are answered one by one", async () => {
  const server = fakeServer();
  const line = await Line.open(server);
  server.refuse("join", { code: "unknown_room" });
  line.line.send(JSON.stringify({ type: "joins", rooms: [{ room: "a" }, { room: "b" }] }));
  line.line.send(JSON.stringify({ type: "subscribes", topics: [{ topic: "a" }, { topic: "b" }] }));
  await settled();
  const answers = line.frames.slice(1).map(({ type, room, topic }) => [type, room ?? topic]);
  assert.deepEqual(answers, [["error", "a"], ["joined", "b"], ["subscribed", "a"], ["subscribed", "b"]]);
});

test("frames are gathered, and replies never come inside of `send`", async () => {
  const server = fakeServer();
  const line = await Line.open(server);
  await line.ask({ type: "join", room: "general" });
  const before = line.texts.length;
  server.together(() => {
    server.room("general").message({ content: "a" });
    server.room("general").message({ content: "b" });
  });
  assert.equal(line.texts.length, before + 1);
  line.line.send(JSON.stringify({ type: "message", room: "general", content: "c", ref: 1 }));
  assert.equal(line.texts.length, before + 1);
  await settled();
  assert.deepEqual(line.frames.slice(-2).map(({ type }) => type), ["message", "ack"]);
});

test("the end of a connection is told with its code, after a farewell", async () => {
  const server = fakeServer();
  const line = await Line.open(server);
  server.disconnect({ code: 4503, retry_after: 3 });
  const { code, reconnect, retry_after } = line.latest("disconnect");
  assert.deepEqual([code, reconnect, retry_after, line.ends], [4503, false, 3, [4503]]);
});

test("a clock calls what is due in order, and what that begins", async () => {
  const { clock } = fakeServer();
  const told = [];
  clock.after(3, () => told.push("c"));
  clock.after(1, async () => {
    await null;
    clock.after(1, () => told.push(`b at ${clock.now()}`));
  });
  const stop = clock.after(2, () => told.push("never"));
  stop();
  clock.after(10, () => told.push("late"));
  await clock.tick(5);
  assert.deepEqual([told, clock.now(), clock.waiting], [["b at 2", "c"], 5, 1]);
});
