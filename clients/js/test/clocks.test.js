/** Durations by the monotonic clock, and ages by the server's. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { machine } from "../src/clock.js";
import { Script, settled } from "./scripted.js";

const HOUR = 3600;
const DAY = 24 * HOUR;

async function begun() {
  const script = new Script();
  await script.connect("1", { server_time: script.clock.moment() });
  return script;
}

/** A client that was in a room, and whose line is lost. */
async function waiting() {
  const script = await begun();
  await script.enter();
  script.settled.length = 0;
  await script.line.close();
  return script;
}

/** Let the line come back, so many seconds later by the server's clock. */
async function back(script, seconds, moment = script.clock.moment(seconds)) {
  const line = await script.connect("1", { server_time: moment });
  await line.joined(await line.expect("join"), 0, { recovered: true });
  return line;
}

const pings = ({ types }) => types.filter((type) => type === "ping").length;

for (const seconds of [0, -HOUR, HOUR, -400 * DAY, 400 * DAY])
  test(`a dead line is found within 30 s after the clock was set by ${seconds} s`, async () => {
    const script = await begun();
    const { line } = script;
    await script.clock.passes(2);
    script.clock.set += seconds;
    await script.clock.passes(28);
    assert.notEqual(script.client.state, "open");
    assert.ok(pings(line) >= 1 && pings(line) <= 2);
  });

for (const seconds of [-HOUR, HOUR, 400 * DAY])
  test(`a clock that is set by ${seconds} s costs one ping`, async () => {
    const script = await begun();
    const { line } = script;
    script.clock.set += seconds;
    await script.clock.passes(6);
    await line.expect("ping");
    await line.send({ type: "pong" });
    await script.clock.passes(10);
    assert.equal(pings(line), 1);
    assert.equal(script.client.state, "open");
  });

for (const seconds of [-HOUR, 25 * HOUR, 400 * DAY])
  test(`a waiting message outlives a clock that is set by ${seconds} s`, async () => {
    const script = await waiting();
    await script.send("hi");
    const moment = script.clock.moment(5);
    script.clock.set += seconds;
    const line = await back(script, 5, moment);
    assert.equal((await line.expect("message")).content, "hi");
  });

test("a clock that is set before the first welcome expires nothing", async () => {
  const script = new Script();
  script.room.join();
  await script.send("hi");
  const moment = script.clock.moment();
  script.clock.set += 25 * HOUR;
  await script.line.welcome("1", { server_time: moment });
  await script.line.joined(await script.line.expect("join"));
  assert.equal((await script.line.expect("message")).content, "hi");
});

test("a message expires that has waited while the machine slept", async () => {
  const script = await waiting();
  await script.send("old");
  script.clock.set += 25 * HOUR; // the monotonic clock stood still
  await back(script, 0);
  assert.deepEqual(script.settled, [["old", "expired"]]);
});

test("what is written after a sleep is not old", async () => {
  const script = await waiting();
  script.clock.set += 3 * DAY;
  await script.send("new");
  const line = await back(script, 0);
  assert.equal((await line.expect("message")).content, "new");
});

test("an unanswered message is repeated after the clock was set back", async () => {
  const script = await begun();
  await script.enter();
  await script.send("hi");
  const first = await script.line.expect("message");
  script.clock.set -= HOUR;
  for (let count = 0; count < 4; count++) {
    await script.clock.passes(5);
    await script.line.send({ type: "pong" });
  }
  assert.equal((await script.line.expect("message")).nonce, first.nonce);
});

test("a page that stood still asks again before it gives up", async () => {
  const script = await begun();
  const { line } = script;
  await script.clock.passes(22);
  await line.expect("ping");
  await script.clock.jumps(600); // timers fire once, late
  await line.expect("ping");
  await line.send({ type: "pong" });
  await script.clock.passes(4);
  assert.equal(script.client.state, "open");
});

for (const seconds of [-HOUR, HOUR])
  test(`the time until the next attempt is right after the clock was set by ${seconds} s`, async () => {
    const script = await waiting();
    script.clock.set += seconds;
    const left = script.client.retryAt / 1000 - script.clock.wall();
    assert.ok(left > 0 && left < 31);
  });

for (const heartbeat of [undefined, null, "soon", -5, 0])
  test(`a welcome with the heartbeat ${heartbeat} leads to no loop`, async () => {
    const script = new Script();
    await script.connect("1", { heartbeat });
    let timers = 0;
    const { after } = script.clock;
    script.clock.after = (seconds, act) => (timers++, assert.ok(seconds > 0), after(seconds, act));
    await script.clock.passes(20);
    assert.ok(timers < 20, `${timers} timers`);
    assert.equal(script.client.state, "open");
  });

for (const retry_after of [null, "soon", -5, 0, 1e9])
  test(`a pause of ${retry_after} leads to no loop`, async () => {
    const script = new Script();
    const line = await script.connect();
    script.room.join();
    await line.refuse(await line.expect("join"), "rate_limited", { retryable: true, retry_after });
    await script.clock.passes(10);
    assert.ok(line.types.filter((type) => type === "join").length < 15);
    await script.line.send({ type: "disconnect", code: 4001, reason: "", reconnect: true, retry_after });
    await settled();
    assert.ok(script.lines.length === 1);
  });

test("a timer of the machine that is far away does not fire at once", async () => {
  let fired = false;
  const stop = machine.after(1e9, () => (fired = true));
  await new Promise((resolve) => setTimeout(resolve, 20));
  stop();
  assert.equal(fired, false);
});

test("a pause that the server asks for is kept, whatever the page does", async () => {
  const script = await begun();
  await script.line.send({ type: "disconnect", code: 4014, reason: "Too many.", reconnect: true, retry_after: 20 });
  script.client.connect();
  await settled();
  assert.equal(script.client.state, "waiting");
  await script.clock.passes(19);
  assert.equal(script.lines.length, 1);
  await script.clock.passes(21);
  assert.ok(script.lines.length > 1);
});

test("beats never follow one another without any time in between", async () => {
  const script = new Script();
  await script.clock.passes(0.1);
  for (let number = 0; number < 100; number++) {
    script.clock.time += 0.7177443;
    const line = await script.connect();
    let beats = 0;
    const { after } = script.clock;
    script.clock.after = (seconds, act) => {
      assert.ok(++beats < 100, `a beat after ${seconds} s`);
      return after(seconds, act);
    };
    await script.clock.passes(23);
    script.clock.after = after;
    assert.ok(beats > 4);
    await line.close();
  }
});
