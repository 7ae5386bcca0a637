/** A client is one user: that of the page, or of its first welcome. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { message, Script, settled } from "./scripted.js";

const GUEST = "guest:a";
const TOKEN_EXPIRED = { type: "error", code: "token_expired", message: "", retryable: true };

const memory = ({ room }) => [room.messages.length, room.members.size, Object.keys(room.about).length];

async function withMessage(user_id, options) {
  const script = new Script(options);
  await script.connect(user_id);
  const members = [{ user_id, username: "me", connections: 1 }];
  await script.enter(1, { messages: [message(1)], members });
  script.settled.length = 0;
  return script;
}

for (const user_id of ["2", GUEST])
  for (const options of [{}, { user: "1" }]) {
    test(`a page of one user never becomes ${user_id}, with ${JSON.stringify(options)}`, async () => {
      const script = await withMessage("1", options);
      await script.line.close(4005);
      await script.send("secret");
      const line = await script.connect(user_id);
      assert.equal(script.client.state, "closed");
      assert.ok(line.isClosed);
      assert.deepEqual(line.seen, []);
      assert.deepEqual(script.settled, [["secret", "identity_changed"]]);
      assert.deepEqual(memory(script), [0, 0, 0]);
      assert.deepEqual(script.room.pending, []);
      assert.equal(script.details("state").at(-1).code, "identity_changed");
    });
  }

for (const user_id of ["2", GUEST])
  test(`what was written before the first welcome is not sent as ${user_id}`, async () => {
    const script = new Script({ user: "1" });
    script.room.join();
    await script.send("secret");
    await script.line.welcome(user_id);
    assert.equal(script.client.state, "closed");
    assert.deepEqual(script.line.seen, []);
    assert.deepEqual(script.settled, [["secret", "identity_changed"]]);
  });

test("a page of a guest does not become a user", async () => {
  const script = new Script({ user: "guest:", name: "Ann" });
  const line = await script.connect("1");
  assert.equal(script.client.state, "closed");
  assert.deepEqual(line.seen, []);
});

test("a closed page stays who it was until connect names another user", async () => {
  const script = await withMessage("1");
  await script.back("2");
  assert.equal(script.client.state, "closed");
  await script.connect("2");
  assert.equal(script.client.state, "closed");
  const line = await script.begin({ user: "2" });
  await line.welcome("2");
  assert.equal(script.client.state, "open");
  assert.equal((await line.expect("join")).since, undefined);
});

test("another user is accepted while the line is open", async () => {
  const script = await withMessage(GUEST);
  const { line } = script;
  await script.send("from the guest");
  await line.expect("message");
  const next = await script.begin({ user: "1" });
  assert.ok(line.isClosed);
  assert.deepEqual(script.settled, [["from the guest", "identity_changed"]]);
  assert.deepEqual(memory(script), [0, 0, 0]);
  await next.welcome("1");
  assert.equal(script.client.state, "open");
  assert.ok(!next.types.includes("message"));
});

test("a guest may become another guest: rooms are joined anew and what waits is rejected", async () => {
  const script = await withMessage(GUEST, { user: "guest:" });
  await script.line.close();
  await script.send("from the first");
  const line = await script.connect("guest:b");
  assert.equal((await line.expect("join")).since, undefined);
  assert.deepEqual(script.settled, [["from the first", "identity_changed"]]);
  assert.deepEqual(memory(script), [0, 0, 0]);
});

test("the same user resumes and sends what waits", async () => {
  const script = await withMessage("1", { user: "1" });
  await script.line.close();
  await script.send("later");
  const line = await script.connect();
  const join = await line.expect("join");
  assert.deepEqual(join.since, { seq: 1, epoch: "e" });
  await line.joined(join, 1, { recovered: true });
  assert.equal((await line.expect("message")).content, "later");
});

test("a renewed token of another user ends the connection", async () => {
  const script = await withMessage("1");
  await script.line.send({ type: "authenticated", user_id: "2", username: "bob" });
  assert.equal(script.client.state, "closed");
  assert.ok(script.line.isClosed);
  assert.deepEqual(memory(script), [0, 0, 0]);
});

test("a page may sign in by a command of its own", async () => {
  const script = new Script();
  const line = await script.connect(GUEST);
  script.client.request({ type: "auth", token: "t" });
  const { ref } = await line.expect("auth");
  await line.send({ type: "authenticated", user_id: "1", username: "ada", ref });
  assert.deepEqual([script.client.userId, script.client.state], ["1", "open"]);
  await script.back(GUEST);
  assert.equal(script.client.state, "closed");
});

test("a new guest gets the name of the page, and keeps it", async () => {
  const script = new Script({ name: "Ann" });
  script.room.join();
  await settled();
  await script.line.welcome(GUEST, { guest_token: "first" });
  const { name, ref } = await script.line.expect("auth");
  assert.equal(name, "Ann");
  assert.deepEqual(script.line.types, ["auth"]);
  await script.line.send({ type: "authenticated", user_id: GUEST, username: "Ann", guest_token: "named", ref });
  await script.line.expect("join");
  const line = await script.back(GUEST);
  assert.equal(line.token, "named");
  assert.ok(!line.types.includes("auth"));
});

/** A client whose tokens the test gives. */
async function asked() {
  const tokens = [];
  const script = new Script({ token: ({ reason }) => new Promise((give) => tokens.push(Object.assign(give, { reason }))) });
  script.client.connect();
  await settled();
  return { script, tokens };
}

for (const given of [null, undefined, ""])
  test(`no auth is sent when the token is ${JSON.stringify(given)}`, async () => {
    const { script, tokens } = await asked();
    tokens.pop()(given);
    await settled();
    const { line } = script;
    assert.equal(line.token || null, null);
    await line.welcome("1");
    await line.send(TOKEN_EXPIRED);
    assert.equal(tokens[0].reason, "expiring");
    tokens.pop()(given);
    await script.clock.passes(10); // longer than until another try
    assert.ok(!line.types.includes("auth"));
  });

test("a token that comes late is not for the next connection", async () => {
  const { script, tokens } = await asked();
  tokens.pop()("first");
  await script.line.welcome("1");
  await script.line.send(TOKEN_EXPIRED);
  await script.line.close();
  const line = await script.begin();
  tokens[1]("second");
  await settled();
  await line.welcome("1");
  tokens[0]("late");
  await script.clock.passes(10); // longer than until another try
  assert.ok(!line.types.includes("auth"));
  assert.equal(line.token, "second");
});

test("a token function that fails when the token expires is asked again", async () => {
  let count = 0;
  const script = new Script({
    token: () => {
      if (++count === 2) throw new Error("no network");
      return `token ${count}`;
    },
  });
  const line = await script.connect();
  await line.send(TOKEN_EXPIRED);
  assert.ok(!line.types.includes("auth"));
  await script.clock.passes(6);
  assert.equal((await line.expect("auth")).token, "token 3");
});

test("a name that is refused for now is given on the next line", async () => {
  const script = new Script({ name: "Ann" });
  let line = await script.begin();
  await line.welcome(GUEST);
  await line.refuse(await line.expect("auth"), "rate_limited", { retryable: true, retry_after: 30 });
  assert.deepEqual([script.client.state, line.isClosed], ["waiting", true]);
  await script.clock.passes(29);
  assert.equal(script.lines.length, 1);
  while (script.lines.length === 1) await script.clock.passes(1);
  line = script.line;
  await line.welcome(GUEST);
  await line.send({ type: "authenticated", user_id: GUEST, username: "Ann", ref: (await line.expect("auth")).ref });
  assert.equal(script.client.state, "open");
});

test("a name that gets no reply is given on the next line", async () => {
  const script = new Script({ name: "Ann" });
  const line = await script.begin();
  await line.welcome(GUEST);
  await line.expect("auth");
  await script.clock.passes(4);
  await line.send({ type: "ping" });
  await script.clock.passes(6.1);
  assert.deepEqual([script.client.state, line.isClosed], ["waiting", true]);
});
