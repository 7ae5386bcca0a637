/** Random walks: whatever a page does and wherever the line is cut, at rest the wish, the server and the screen agree. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { RealtimeClient } from "../src/client.js";
import { HandClock, settled } from "./scripted.js";
import { seeded, World } from "./world.js";

const page = new EventTarget(); // what a browser tells its page
for (const name of ["addEventListener", "removeEventListener"]) globalThis[name] = (...listener) => page[name](...listener);

const WALKS = Number(process.env.WALKS ?? 100);
const FIRST = Number(process.env.FIRST ?? 1);
const STEPS = 90;
const SLUGS = ["a", "b", "c"];

class Walk {
  clock = new HandClock();
  world = new World();
  heard = new Map(SLUGS.map((slug) => [slug, []]));
  sent = []; // { content, outcome }
  holders = new Map(SLUGS.map((slug) => [slug, new Set()])); // null, or controllers
  topics = new Map(["x", "y"].map((path) => [path, new Set()]));
  errors = [];
  toldIdle = false; // whether a room told something that was left

  constructor(seed) {
    this.random = seeded(seed);
    this.client = new RealtimeClient({ transport: this.world.transport, clock: this.clock });
    this.client.on("message", ({ room, message }) => {
      this.heard.get(room).push(message.seq);
      this.toldIdle ||= !this.client.room(room).isHeld;
    });
    this.client.on("reset", ({ room }) => (this.heard.get(room).length = 0));
    this.client.on("error", ({ error }) => this.errors.push(error));
  }

  pick(list) {
    return list[Math.floor(this.random() * list.length)];
  }

  async go() {
    this.client.connect();
    for (let step = 0; step < STEPS; step++) await this.#step();
    await this.#rest();
    for (const slug of SLUGS) this.world.post(slug); // it shows a lost event
    await this.#rest();
  }

  async #step() {
    const slug = this.pick(SLUGS);
    const act = this.pick([
      () => this.#hold(this.client.room(slug), this.holders.get(slug), "join"),
      () => this.#let(this.client.room(slug), this.holders.get(slug), "leave"),
      () => this.#topic("hold"),
      () => this.#topic("let"),
      () => this.#send(slug),
      () => this.world.post(slug, { isLost: this.random() < 0.3 }),
      () => this.world.post(slug),
      () => this.world.repeat(slug, this.random()),
      () => this.world.take(),
      () => this.world.take(),
      () => this.world.give(),
      () => this.world.give(3),
      () => this.random() < 0.3 && this.world.cut(),
      () => this.random() < 0.2 && this.world.restart(slug),
      () => (this.world.refusals = this.random() < 0.3 ? 2 : 0),
      () => this.random() < 0.2 && page.dispatchEvent(new Event(this.pick(["pagehide", "online", "offline"]))),
      () => page.dispatchEvent(new Event("pageshow")),
      () => this.random() < 0.1 && (this.client.close(), this.client.connect()),
      () => this.clock.passes(this.random() * 3),
      settled,
      () => null,
      () => Promise.resolve(),
    ]);
    await act();
  }

  #topic(what) {
    const path = this.pick([...this.topics.keys()]);
    const topic = this.client.topic(path);
    if (what === "hold") this.#hold(topic, this.topics.get(path), "subscribe");
    else this.#let(topic, this.topics.get(path), "unsubscribe");
  }

  #hold(handle, holders, method) {
    const controller = this.random() < 0.5 ? new AbortController() : null;
    const linger = this.random() < 0.3 ? 0.5 : 0;
    holders.add(controller);
    handle[method]({ signal: controller?.signal, linger });
  }

  #let(handle, holders, method) {
    const holder = this.pick([...holders]);
    if (this.random() < 0.1) {
      holders.clear();
      handle[method]({ force: true });
    } else if (holder) holder.abort();
    else handle[method]();
    holders.delete(holder ?? null);
  }

  #send(slug) {
    const item = { slug, content: `${this.sent.length}` };
    const room = this.client.room(slug);
    if (!room.isHeld) return;
    this.sent.push(item);
    room.send(item.content).then(
      (ack) => (item.ack = ack),
      ({ code }) => (item.code = code),
    );
  }

  async #rest() {
    page.dispatchEvent(new Event("pageshow"));
    for (let turn = 0; turn < 300; turn++) {
      for (let count = 0; count < 20 && !this.world.isQuiet; count++) {
        this.world.take();
        this.world.give();
        await settled();
      }
      await this.clock.passes(turn < 20 ? 1 : 0);
      if (turn > 25 && this.world.isQuiet) return;
    }
    assert.fail("no rest");
  }

  check() {
    const { client, world } = this;
    assert.equal(client.state, "open");
    for (const [kind, handles] of [["room", this.holders], ["topic", this.topics]])
      for (const [name, holders] of handles) {
        const handle = client[kind](name);
        assert.equal(handle.isHeld, holders.size > 0, `${name} is held`);
        assert.equal(world.wire.entered.has(name), holders.size > 0, `the server follows ${name}`);
        assert.equal(handle.state, holders.size > 0 ? "live" : "idle", `the state of ${name}`);
      }
    for (const slug of SLUGS) this.#checkRoom(slug);
    assert.deepEqual(this.errors, []);
    assert.ok(!this.toldIdle);
  }

  #checkRoom(slug) {
    const room = this.client.room(slug);
    const log = this.world.log(slug);
    const heard = this.heard.get(slug);
    assert.deepEqual(heard, [...heard].sort((a, b) => a - b), `the order in ${slug}`);
    assert.equal(new Set(heard).size, heard.length, `once in ${slug}`);
    if (room.isHeld) assert.deepEqual(heard, log.map(({ seq }) => seq), `all of ${slug}`);
    if (room.isHeld) assert.deepEqual(room.messages.map(({ id }) => id), log.map(({ id }) => id));
    assert.deepEqual(room.pending.filter(({ status }) => status !== "failed"), []);
    const isAnew = this.world.epochs.has(slug);
    for (const { content, ack, code } of this.sent.filter((item) => item.slug === slug)) {
      const stored = log.filter((message) => message.content === content);
      assert.ok(ack || code, "each message has settled");
      assert.ok(stored.length <= 1, "each message is stored once");
      if (ack && !isAnew) assert.deepEqual(stored.map(({ seq }) => seq), [ack.seq]);
      if (code) assert.ok(["left", "closed"].includes(code), code);
    }
  }
}

test("at rest the wish, the server and the screen agree, and no promise is left unhandled", async () => {
  const unhandled = [];
  const note = (error) => unhandled.push(error);
  process.on("unhandledRejection", note);
  for (let seed = FIRST; seed < FIRST + WALKS; seed++) {
    const walk = new Walk(seed);
    try {
      await walk.go();
      walk.check();
    } catch (error) {
      error.message += ` (FIRST=${seed} WALKS=1)`;
      throw error;
    }
    walk.client.close();
    assert.equal(walk.clock.timers.size, 0);
  }
  await settled();
  process.off("unhandledRejection", note);
  assert.deepEqual(unhandled, []);
});
