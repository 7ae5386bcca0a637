/** What a client does with its storage: a user's messages over a reload, and one line for all tabs. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { RealtimeClient } from "../src/client.js";
import { Script, settled } from "./scripted.js";

/** A storage that notes what it is told. */
class Storage {
  told = [];
  kept = { rows: [], rooms: [] };

  async open(host) {
    this.host = host;
    this.told.push(["open", host.user, host.url]);
    return this.kept;
  }

  added({ nonce, content, order }) {
    this.told.push(["added", nonce, content, order]);
  }

  async forget(user) {
    this.told.push(["forget", user]);
  }
}
for (const name of ["acknowledged", "failed", "discarded", "close"])
  Storage.prototype[name] = function (...given) {
    this.told.push([name, ...given]);
  };
Storage.prototype.changed = () => {};

const row = (fields) => ({ room: "general", content: fields.nonce, order: 1, at: Date.parse("2026-01-01"), ...fields });

function stored(...rows) {
  const storage = new Storage();
  storage.kept.rows = rows.map(row);
  return [new Script({ user: "1", offline: storage }), storage];
}

test("messages of an earlier page are sent in their order, and before new ones", async () => {
  const [script, storage] = stored({ nonce: "a", order: 7 }, { nonce: "b", order: 8 });
  const line = await script.connect();
  await script.enter();
  await script.send("new", { nonce: "c" });
  for (const nonce of ["a", "b", "c"]) {
    const command = await line.expect("message");
    assert.equal(command.nonce, nonce);
    await line.acknowledge(command);
  }
  const [added] = storage.told.filter(([name]) => name === "added");
  assert.deepEqual(added, ["added", "c", "new", 9]);
  assert.deepEqual(storage.told.filter(([name]) => name === "acknowledged").map(([, nonce]) => nonce), ["a", "b", "c"]);
});

test("what is written before the storage is open follows what it brings", async () => {
  const [script, storage] = stored({ nonce: "a", order: 7 });
  script.note("join", script.room.join());
  await script.send("early", { nonce: "b" });
  await settled();
  const line = script.line;
  await line.welcome("1");
  await line.joined(await line.expect("join"));
  for (const nonce of ["a", "b"]) {
    const command = await line.expect("message");
    assert.equal(command.nonce, nonce);
    await line.acknowledge(command);
  }
  const opened = storage.told.findIndex(([name]) => name === "open");
  assert.deepEqual(storage.told.slice(opened + 1).filter(([name]) => name === "added"), [["added", "b", "early", 8]]);
});

test("a kept message that was refused is shown and sent only if the page wants it", async () => {
  const [script, storage] = stored({ nonce: "a", code: "muted" });
  const line = await script.connect();
  await script.enter();
  assert.deepEqual(script.room.pending.map(({ status, error }) => [status, error.code]), [["failed", "muted"]]);
  assert.ok(!line.types.includes("message"));
  script.note("retry", script.room.retry("a"));
  await line.acknowledge(await line.expect("message"));
  assert.deepEqual(script.settled.at(-1), ["retry", "ok"]);
  assert.deepEqual(storage.told.filter(([name]) => name === "added").length, 1);
});

test("a message that another page has discarded is not sent after the page comes back", async () => {
  const [script, storage] = stored();
  await script.connect();
  await script.enter();
  await script.send("mine", { nonce: "a" });
  await script.line.close();
  storage.host.adopt([row({ nonce: "a", isDiscarded: true }), row({ nonce: "b", isDiscarded: true })]);
  await settled();
  assert.deepEqual([script.room.pending, script.settled.at(-1)], [[], ["mine", "aborted"]]);
});

test("a client with a storage needs its user", () => {
  assert.throws(() => new RealtimeClient({ offline: new Storage() }), /needs the option `user`/);
});

test("the page learns of a storage that fails", async () => {
  const [script, storage] = stored();
  await script.connect();
  const cause = new Error("full");
  storage.host.failed(cause);
  const [{ error }] = script.details("error");
  assert.deepEqual([error.code, error.cause], ["storage", cause]);
});

test("the storage learns the address without its query", async () => {
  const storage = new Storage();
  const script = new Script({ user: "1", offline: storage, url: async () => "http://localhost/ws/?ticket=secret" });
  await script.connect();
  assert.deepEqual(storage.told, [["open", "1", "ws://localhost/ws/"]]);
});

test("the messages of one user are never stored as another's", async () => {
  const [script, storage] = stored();
  await script.connect();
  await script.enter();
  await script.send("secret", { nonce: "a" });
  const line = await script.begin({ user: "2" });
  await line.welcome("2");
  await script.send("mine", { nonce: "b" });
  const names = storage.told.filter(([name]) => name !== "acknowledged").map(([name, one]) => [name, one]);
  assert.deepEqual(names, [["open", "1"], ["added", "a"], ["failed", "a"], ["close", undefined], ["open", "2"], ["added", "b"]]);
});

test("forgetting names the user, also on a page that has not connected", async () => {
  const [script, storage] = stored();
  await script.client.forget();
  assert.deepEqual(storage.told, [["forget", "1"]]);
});

test("a line that ends because another tab leads is opened anew at once", async () => {
  const script = new Script();
  const line = await script.connect();
  line.receiver.onEnd(1006, "leader", true);
  await settled();
  assert.equal(script.lines.length, 2);
  assert.deepEqual(script.details("state").slice(-2).map(({ state, retryIn }) => [state, retryIn]), [["waiting", 0], ["connecting", null]]);
});

test("a handler may close the client while its line is opened anew", async () => {
  const script = new Script();
  const line = await script.connect();
  script.client.on("state", ({ state }) => state === "waiting" && script.client.close());
  line.receiver.onEnd(1006, "leader", true);
  await settled();
  assert.deepEqual([script.lines.length, script.client.state], [1, "closed"]);
});

/** A storage that opens when the test says so. */
function slow(options) {
  const storage = new Storage();
  const opening = [];
  storage.open = (host) => new Promise((resolve) => opening.push({ host, opened: (...rows) => resolve({ rows: rows.map(row), rooms: [] }) }));
  return { script: new Script({ user: "1", offline: storage, ...options }), opening };
}

test("rows that are read late are not sent as the next user", async () => {
  const { script, opening } = slow();
  await script.begin();
  await script.begin({ user: "2" });
  opening[1].opened();
  opening[0].opened({ nonce: "a" });
  opening[0].host.adopt([row({ nonce: "b" })]);
  await settled();
  await script.line.welcome("2");
  await script.enter();
  assert.ok(!script.line.types.includes("message"));
  assert.deepEqual(script.room.pending, []);
});

test("rows that are read late do not come back after they were forgotten", async () => {
  const { script, opening } = slow();
  await script.begin();
  await script.client.forget();
  opening[0].opened({ nonce: "a" });
  opening[0].host.adopt([row({ nonce: "b" })]);
  await settled();
  assert.deepEqual(script.room.pending, []);
});

test("an attempt that has ended does not open the storage", async () => {
  let give;
  const { script, opening } = slow({ url: () => new Promise((resolve) => (give = resolve)) });
  await script.begin();
  script.client.close();
  give("ws://localhost/ws/");
  await settled();
  assert.equal(opening.length, 0);
});

/** A page of a guest, whose storage knows these guests by now. */
function guests(guest, options = {}) {
  const storage = Object.assign(new Storage(), { moved: ({ state, code }, { userId, guestToken }) => storage.told.push(["moved", state, code, userId, guestToken]) });
  if (guest) storage.kept.guest = guest;
  return [new Script({ user: "guest:", offline: storage, ...options }), storage];
}
const opened = ({ told }) => told.filter(([name]) => name === "open").map(([, user]) => user);

test("a new guest is kept, and its storage is opened", async () => {
  const [script, storage] = guests();
  const line = await script.begin();
  await line.welcome("guest:1", { guest_token: "t" });
  assert.deepEqual(opened(storage), ["guest:", "guest:1"]);
  assert.deepEqual(storage.told.findLast(([name]) => name === "moved"), ["moved", "open", null, "guest:1", "t"]);
});

test("a guest of before connects with its token, and sends what waits", async () => {
  const [script, storage] = guests({ user: "guest:1", token: "t" });
  storage.kept.rows = [row({ nonce: "a" })];
  const line = await script.begin();
  assert.equal(line.token, "t");
  await line.welcome("guest:1", { guest_token: "u" });
  await script.enter();
  assert.equal((await line.expect("message")).nonce, "a");
  assert.deepEqual(opened(storage), ["guest:"]);
});

test("messages of a guest are not sent as the guest who follows", async () => {
  const [script, storage] = guests({ user: "guest:1", token: "t" });
  storage.kept.rows = [row({ nonce: "a" })];
  const line = await script.begin();
  storage.kept = { rows: [], rooms: [] };
  await line.welcome("guest:2", { guest_token: "u" });
  await script.enter();
  assert.ok(!line.types.includes("message"));
  assert.deepEqual(opened(storage), ["guest:", "guest:2"]);
});

test("a guest of before keeps its name, and a guest who follows gets that of the page", async () => {
  const [script] = guests({ user: "guest:1", token: "t" }, { name: "Zoe" });
  const first = await script.begin();
  await first.welcome("guest:1", { guest_token: "t" });
  assert.ok(!first.types.includes("auth"));
  await first.close();
  const second = await script.connect("guest:2", { guest_token: "u" });
  assert.equal((await second.expect("auth")).name, "Zoe");
});

test("a storage learns why a guest is refused", async () => {
  const [script, storage] = guests({ user: "guest:1", token: "t" });
  const line = await script.begin();
  await line.close(4500);
  assert.deepEqual(storage.told.findLast(([name]) => name === "moved").slice(1, 3), ["closed", 4500]);
});
