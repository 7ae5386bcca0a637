/** A handler of `message` hears all that was missed, however much, in order and once. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { message, messages, Script } from "./scripted.js";

const PAGE = 100;

/** A room's log, of which a line is answered as by the server. */
class Log {
  constructor(length) {
    this.states = messages(1, length);
  }

  get end() {
    return this.states.length;
  }

  /** Store new messages, and tell of them. */
  async more(line, number = 1) {
    for (let count = 0; count < number; count++) {
      this.states.push(message(this.end + 1));
      await line.send({ type: "message", room: "general", ...this.states.at(-1) });
    }
  }

  async answer(line, { after, ref }) {
    const page = this.states.slice(after, after + PAGE);
    const through = page.at(-1)?.seq ?? after;
    await line.send({ type: "history", room: "general", ref, messages: page, epoch: "e", has_more: through < this.end, through });
  }
}

/** Return a client that had ten messages, and comes back after `number` more. */
async function missed(number, options) {
  const script = new Script(options);
  await script.connect();
  await script.enter(10, { messages: messages(1, 10) });
  script.heard.length = 0;
  const line = await script.back();
  return { script, line, log: new Log(10 + number), join: await line.expect("join") };
}

const names = (from, to) => messages(from, to).map(({ content }) => content);

for (const number of [501, 1200, 3000])
  test(`${number} missed messages are told in order and once`, async () => {
    const { script, line, log, join } = await missed(number);
    await line.joined(join, log.end, { messages: log.states.slice(-50), has_more: true });
    assert.equal(script.room.state, "stale");
    while (script.room.state !== "live") {
      const command = await line.expect("history");
      await log.more(line, 3);
      await log.answer(line, command);
      await log.more(line, 2);
    }
    await log.more(line);
    assert.deepEqual(script.told("message"), names(11, log.end));
    assert.deepEqual(script.told("reset"), []);
    assert.ok(script.room.messages.length <= 2500);
    assert.equal(script.details("message").filter(({ live }) => !live).length, number);
  });

test("a gap survives another lost line", async () => {
  const { script, line, log, join } = await missed(1200);
  await line.joined(join, log.end);
  for (let page = 0; page < 3; page++) await log.answer(line, await line.expect("history"));
  const next = await script.back();
  const again = await next.expect("join");
  assert.equal(again.since.seq, 310);
  await next.joined(again, log.end);
  for (let page = 0; page < 9; page++) await log.answer(next, await next.expect("history"));
  assert.deepEqual(script.told("message"), names(11, log.end));
});

test("a refused page is asked for again without joining again", async () => {
  const { script, line, log, join } = await missed(600);
  await line.joined(join, log.end);
  const command = await line.expect("history");
  await line.refuse(command, "rate_limited", { retryable: true, retry_after: 2 });
  await script.clock.passes(3);
  assert.equal((await line.expect("history")).after, command.after);
  assert.equal(line.types.filter((type) => type === "join").length, 1);
});

test("what cannot be filled is told by reset and the newest messages", async () => {
  const { script, line, log, join } = await missed(600);
  await line.joined(join, log.end);
  const { ref } = await line.expect("history");
  await line.send({ type: "resync", room: "general", seq: log.end, epoch: "e", ref });
  const again = await line.expect("join");
  assert.equal(again.since, undefined);
  await line.joined(again, log.end, { messages: log.states.slice(-50), has_more: true });
  assert.equal(script.told("reset").length, 1);
  assert.deepEqual(script.told("message"), names(561, 610));
  assert.equal(script.room.messages.length, 50);
});

test("a page that was purged rejects its request, and the room is joined anew", async () => {
  const script = new Script();
  const line = await script.connect();
  await script.enter(10);
  script.note("history", script.room.history({ after: 1 }));
  const { ref } = await line.expect("history");
  await line.send({ type: "resync", room: "general", seq: 10, epoch: "e", ref });
  assert.deepEqual(script.settled.at(-1), ["history", "resync"]);
  assert.equal((await line.expect("join")).since, undefined);
});

for (const epoch of ["e", "other"])
  test(`a page may ask for the newest only, after the epoch ${epoch}`, async () => {
    const { script, line, log, join } = await missed(600, { catchUp: "newest" });
    await line.joined(join, log.end, { messages: log.states.slice(-50), has_more: true, epoch });
    assert.equal(script.details("reset")[0].missed, epoch === "e" ? 600 : null);
    assert.ok(!line.types.includes("history"));
  });
