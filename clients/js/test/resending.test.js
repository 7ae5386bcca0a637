/** A database that fails over may lose what it has acknowledged: the client sends it again. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Script } from "./scripted.js";

/** A client in a room whose messages got their acks, and the commands that sent them. */
async function acknowledged(...contents) {
  const script = new Script();
  const line = await script.connect();
  await script.enter();
  script.settled.length = 0;
  const sent = [];
  for (const content of contents) {
    await script.send(content);
    sent.push(await acknowledge(line, sent.length + 1));
  }
  return { script, line, sent };
}

async function acknowledge(line, seq) {
  const command = await line.expect("message");
  await line.acknowledge(command, seq);
  return command;
}

/** Let the room go on with another log, of which the client has not heard yet. */
async function restart(line, epoch) {
  await line.send({ type: "resync", room: "general", seq: 0, epoch });
  await line.joined(await line.expect("join"), 0, { epoch });
}

const same = (one, other) => assert.deepEqual([one.content, one.nonce], [other.content, other.nonce]);

/** Let time pass on a line that is not silent. */
async function passSlowly({ clock, line }, seconds) {
  for (let count = 0; count < seconds / 10; count++) {
    await clock.passes(10);
    await line.send({ type: "pong" });
  }
}

const count = (line) => line.types.filter((type) => type === "message").length;

test("a resync repeats what was acknowledged in order, before what is sent afterwards", async () => {
  const { script, line, sent } = await acknowledged("one", "two");
  await restart(line, "f");
  assert.deepEqual(script.room.pending, []);
  await script.send("three");
  for (const [at, before] of sent.entries()) same(await acknowledge(line, at + 1), before);
  assert.equal((await acknowledge(line, 3)).content, "three");
  assert.deepEqual(script.settled, [["one", "ok"], ["two", "ok"], ["three", "ok"]]);
});

test("a join with another epoch repeats too", async () => {
  const { script, sent } = await acknowledged("one");
  const line = await script.back();
  await line.joined(await line.expect("join"), 0, { epoch: "f" });
  same(await line.expect("message"), sent[0]);
});

for (const [through, more] of [[0, { recovered: true }], [3, {}]])
  test(`a join with the same epoch through ${through} repeats nothing`, async () => {
    const { script } = await acknowledged("one");
    const line = await script.back();
    await line.joined(await line.expect("join"), through, more);
    assert.equal(count(line), 0);
  });

test("a message of an earlier minute is not repeated", async () => {
  const { script, line } = await acknowledged("one");
  await passSlowly(script, 30);
  await script.send("two");
  const second = await acknowledge(line, 2);
  await passSlowly(script, 40);
  await restart(line, "f");
  same(await line.expect("message"), second);
});

test("200 messages are kept for a repetition", async () => {
  const { line } = await acknowledged(...Array.from({ length: 210 }, (_, at) => `${at}`));
  await restart(line, "f");
  assert.equal((await line.expect("message")).content, "10");
});

test("a room that was left repeats nothing", async () => {
  const { script, line } = await acknowledged("one");
  script.room.leave();
  await line.expect("leave");
  script.room.join();
  await line.joined(await line.expect("join"), 0, { epoch: "f" });
  assert.equal(count(line), 1);
});

test("a refused repetition rejects nothing, and others are sent", async () => {
  const { script, line } = await acknowledged("one");
  await restart(line, "f");
  await line.refuse(await line.expect("message"), "forbidden");
  await script.send("two");
  assert.equal((await acknowledge(line, 1)).content, "two");
  assert.deepEqual(script.settled, [["one", "ok"], ["two", "ok"]]);
});
