/** What is kept in IndexedDB: whose it is, who sends it, and what happens if the database fails. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";

import { offline } from "../src/offline.js";
import { Locks } from "./locks.js";
import { Timers } from "./timers.js";
import { until } from "./until.js";

const DAY = 86_400;

let clock;
let pages;

class Page {
  stored = [];
  adopted = [];
  failures = [];

  constructor({ user = "1", url = "wss://example.com/ws/", ...options } = {}) {
    this.storage = offline(options);
    this.host = {
      user,
      url,
      clock,
      stored: (nonce) => this.stored.push(nonce),
      adopt: (rows) => this.adopted.push(...rows),
      failed: (cause) => this.failures.push(cause),
    };
    pages.push(this);
  }

  static async open(options) {
    const page = new Page(options);
    page.kept = await page.storage.open(page.host);
    return page;
  }

  get nonces() {
    return this.kept.rows.map(({ nonce }) => nonce);
  }

  /** Write messages, and wait for the disk. */
  async write(...nonces) {
    for (const nonce of nonces) this.storage.added(row({ nonce, order: pages.flatMap(({ stored }) => stored).length + nonces.indexOf(nonce) }));
    await until(() => nonces.every((nonce) => this.stored.includes(nonce)));
  }
}

const row = (fields) => ({ nonce: "a", room: "r", content: "hello", data: undefined, order: 1, at: clock.serverNow(), ...fields });

/** All rows of a store, as the next release or a developer would see them. */
function raw(store = "outbox", act = (objects) => objects.getAll()) {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("realtime");
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      const transaction = database.transaction([store], "readwrite");
      const request = act(transaction.objectStore(store));
      transaction.oncomplete = () => (database.close(), resolve(request.result));
    };
  });
}

async function holds(count, store) {
  for (const end = Date.now() + 5000; (await raw(store)).length !== count; ) assert.ok(Date.now() < end, `not ${count} rows`);
}

beforeEach(() => {
  [clock, pages] = [new Timers(), []];
  globalThis.indexedDB = new IDBFactory();
  globalThis.IDBKeyRange = IDBKeyRange;
  globalThis.navigator = { locks: new Locks() };
});

afterEach(() => {
  for (const { storage } of pages) storage.close();
  delete globalThis.sessionStorage;
});

test("a message is stored until its ack", async () => {
  const page = await Page.open();
  await page.write("a", "b");
  assert.deepEqual((await raw()).map(({ nonce, user, room, content }) => [nonce, user, room, content]), [
    ["a", "1", "r", "hello"],
    ["b", "1", "r", "hello"],
  ]);
  page.storage.acknowledged("a");
  await holds(1);
});

test("the next page sends what a page has left, in its order", async () => {
  const page = await Page.open();
  await page.write("c", "a", "b");
  page.storage.close();
  const next = await Page.open();
  assert.deepEqual(next.nonces, ["c", "a", "b"]);
  assert.deepEqual(next.kept.rows[0].content, "hello");
});

test("a page that is alive keeps its messages", async () => {
  const page = await Page.open();
  await page.write("a");
  const other = await Page.open();
  clock.pass(30);
  await other.write("b");
  assert.deepEqual([other.nonces, other.adopted], [[], []]);
});

test("messages of a page that is gone are adopted within 30 seconds, by one page", async () => {
  const page = await Page.open();
  const others = [await Page.open(), await Page.open()];
  await page.write("a", "b");
  page.storage.close();
  await until(() => navigator.locks.names().length === 2);
  clock.pass(30);
  await until(() => others.some(({ adopted }) => adopted.length));
  clock.pass(30);
  await others[0].write("c");
  assert.deepEqual(others.flatMap(({ adopted }) => adopted.map(({ nonce }) => nonce)).toSorted(), ["a", "b"]);
});

test("a page that comes back after it was put away has its messages again", async () => {
  const page = await Page.open();
  await page.write("a");
  page.storage.close();
  const { rows } = await page.storage.open(page.host);
  assert.deepEqual(rows.map(({ nonce }) => nonce), ["a"]);
});

test("messages of another user, or for another address, are neither read nor changed", async () => {
  const alice = await Page.open();
  await alice.write("a");
  alice.storage.close();
  const before = await raw();
  for (const options of [{ user: "2" }, { url: "wss://example.com/other/" }]) assert.deepEqual((await Page.open(options)).nonces, []);
  clock.pass(30);
  await (await Page.open({ user: "2" })).storage.forget();
  assert.deepEqual(await raw(), before);
});

for (const user of [null, "guest:", "guest:1"])
  test(`nothing is kept of the user ${user}`, async () => {
    const page = await Page.open({ user });
    for (const method of ["added", "acknowledged", "failed", "discarded", "changed"]) page.storage[method](row());
    await page.storage.forget();
    page.storage.close();
    assert.deepEqual(page.kept, { rows: [], rooms: [] });
    assert.deepEqual(await indexedDB.databases(), []);
  });

/** What a tab remembers over its reloads. */
function rememberTab() {
  const items = new Map();
  const set = (key, text) => {
    items.set(key, text);
    Object.defineProperty(globalThis.sessionStorage, key, { value: text, enumerable: true, configurable: true });
  };
  globalThis.sessionStorage = Object.create({ getItem: (key) => items.get(key) ?? null, setItem: set });
  return items;
}

test("a tab stays the same guest over a reload, with its messages", async () => {
  rememberTab();
  const guest = { user: "guest:1", token: "t" };
  const first = await Page.open({ user: "guest:", guests: true });
  assert.deepEqual(first.kept, { rows: [], rooms: [] });
  first.storage.moved({ state: "open", code: null }, { userId: guest.user, guestToken: guest.token });
  const known = await Page.open({ user: "guest:1", guests: true });
  await known.write("a");
  known.storage.close();
  const next = await Page.open({ user: "guest:", guests: true });
  assert.deepEqual([next.kept.guest, next.nonces], [guest, ["a"]]);
  next.storage.close();
  rememberTab();
  assert.deepEqual((await Page.open({ user: "guest:", guests: true })).kept, { rows: [], rooms: [] });
});

test("a page that has not connected forgets the guest that its tab was, and the messages", async () => {
  rememberTab();
  const page = await Page.open({ user: "guest:1", guests: true });
  page.storage.moved({ state: "open", code: null }, { userId: "guest:1", guestToken: "t" });
  await page.write("a");
  page.storage.close();
  await offline({ guests: true }).forget("guest:");
  const next = await Page.open({ user: "guest:", guests: true });
  assert.deepEqual([next.kept.guest, await raw()], [undefined, []]);
});

for (const end of ["refused", "forgotten", "another address", "not for guests"])
  test(`a tab is another guest after a reload: ${end}`, async () => {
    const items = rememberTab();
    const page = await Page.open({ user: "guest:1", guests: end !== "not for guests" });
    page.storage.moved({ state: "open", code: null }, { userId: "guest:1", guestToken: "t" });
    if (end === "refused") page.storage.moved({ state: "closed", code: 4500 }, { userId: null, guestToken: "t" });
    if (end === "forgotten") await page.storage.forget();
    const url = end === "another address" ? "wss://example.com/other/" : undefined;
    const next = await Page.open({ user: "guest:", guests: true, url });
    assert.equal(next.kept.guest, undefined);
    if (end === "not for guests") assert.equal(items.size, 0);
  });

for (const text of ["{", "5", '{"user":"7","token":"t"}', '{"user":"guest:1"}'])
  test(`a tab that remembers ${text} is a new guest`, async () => {
    rememberTab().set("realtime:guest:wss://example.com/ws/", text);
    assert.equal((await Page.open({ user: "guest:", guests: true })).kept.guest, undefined);
  });

test("a tab without its own storage is a new guest", async () => {
  delete globalThis.sessionStorage;
  const page = await Page.open({ user: "guest:", guests: true });
  page.storage.moved({ state: "open", code: null }, { userId: "guest:1", guestToken: "t" });
  assert.deepEqual([page.kept, page.failures], [{ rows: [], rooms: [] }, []]);
});

test("messages of a page that is gone are adopted when the client is connected", async () => {
  const [page, other] = [await Page.open(), await Page.open()];
  await page.write("a");
  page.storage.close();
  await until(() => navigator.locks.names().length === 1);
  other.storage.moved({ state: "open", code: null }, { userId: "1", guestToken: null });
  await until(() => other.adopted.length);
  other.storage.close();
  other.storage.moved({ state: "open", code: null }, { userId: "1", guestToken: null });
  assert.equal(clock.size, 0);
});

test("forgetting deletes all that is kept of a user, also on a page that has not connected", async () => {
  const page = await Page.open({ keep: 5 });
  await page.write("a");
  page.storage.changed(room());
  page.storage.close();
  await holds(1, "rooms");
  await (await Page.open({ user: "2" })).write("b");
  await offline().forget("1");
  assert.deepEqual((await raw()).map(({ user }) => user), ["2"]);
  assert.deepEqual(await raw("rooms"), []);
});

test("what was refused is kept with its reason, and a discarded message is not sent by another page", async () => {
  const page = await Page.open();
  await page.write("a", "b", "c");
  page.storage.failed("a", "muted");
  page.storage.discarded("b");
  page.storage.failed("unknown", "muted");
  page.storage.close();
  const next = await Page.open();
  const facts = next.kept.rows.map(({ nonce, code, isDiscarded = false, content }) => [nonce, code, isDiscarded, content]);
  assert.deepEqual(facts.toSorted(), [
    ["a", "muted", false, "hello"],
    ["b", undefined, true, undefined],
    ["c", undefined, false, "hello"],
  ]);
});

const BROKEN = {
  "content that is no text": { content: 5 },
  "no room": { room: undefined },
  "no order": { order: "first" },
  "no time": { at: NaN },
  "data that is no object": { data: "x" },
};
for (const [name, fields] of Object.entries(BROKEN))
  test(`a row with ${name} is deleted`, async () => {
    const page = await Page.open();
    await page.write("a", "b");
    page.storage.close();
    const [known] = await raw();
    await raw("outbox", (rows) => rows.put({ ...known, ...fields }));
    assert.deepEqual((await Page.open()).nonces, ["b"]);
    await holds(1);
  });

test("a row without an owner is adopted", async () => {
  await Page.open();
  await raw("outbox", (rows) => rows.put(row({ v: 1, user: "1", url: "wss://example.com/ws/" })));
  assert.deepEqual((await Page.open()).nonces, ["a"]);
});

test("after a day of the server's time rows of all users are deleted", async () => {
  const page = await Page.open({ user: "2" });
  await page.write("a");
  page.storage.close();
  await Page.open();
  clock.pass(DAY - 60);
  await holds(1);
  clock.pass(90);
  await holds(0);
});

test("a clock that is wrong deletes nothing before the server's time is known", async () => {
  const page = await Page.open();
  await page.write("a");
  page.storage.close();
  clock.server = NaN;
  clock.wallAt = () => Date.parse("2036-01-01");
  assert.deepEqual((await Page.open()).nonces, ["a"]);
  clock.pass(30);
  await holds(1);
});

test("at most 500 messages of a user are stored", async () => {
  const page = await Page.open();
  for (let number = 0; number < 502; number++) page.storage.added(row({ nonce: String(number), order: number }));
  await until(() => page.stored.length === 500);
  await holds(500);
});

for (const locks of [undefined, { request: () => Promise.reject(new DOMException("no", "SecurityError")) }])
  test(`${locks ? "with refused" : "without"} locks only old messages are adopted`, async () => {
    navigator.locks = locks;
    const page = await Page.open();
    await page.write("a");
    page.storage.close();
    clock.pass(59);
    assert.deepEqual((await Page.open()).nonces, []);
    clock.pass(2);
    assert.deepEqual((await Page.open()).nonces, ["a"]);
  });

const FAILING = {
  "no IndexedDB": () => delete globalThis.indexedDB,
  "a database of a later version": async () => {
    const opening = indexedDB.open("realtime", 2);
    await new Promise((resolve) => (opening.onsuccess = resolve));
    opening.result.close();
  },
  "an error on opening": () => {
    indexedDB.open = () => {
      const request = { error: new DOMException("private", "InvalidStateError") };
      queueMicrotask(() => request.onerror());
      return request;
    };
  },
};
for (const [name, fail] of Object.entries(FAILING))
  test(`with ${name} messages are sent and not stored, and the page is told`, async () => {
    await fail();
    const page = await Page.open({ keep: 5 });
    page.storage.added(row());
    page.storage.acknowledged("a");
    page.storage.changed(room());
    page.storage.close();
    await page.storage.forget();
    assert.deepEqual([page.kept, page.stored], [{ rows: [], rooms: [] }, []]);
    assert.equal(page.failures.length, 2); // one of the page, and one of forgetting
    for (const cause of page.failures) assert.ok(cause instanceof Error);
  });

test("a database that never opens delays the first connection by two seconds", async () => {
  indexedDB.open = () => ({});
  const opening = Page.open();
  clock.pass(2);
  assert.deepEqual((await opening).kept, { rows: [], rooms: [] });
});

test("what a slow database brings late is adopted", async () => {
  const page = await Page.open();
  await page.write("a");
  page.storage.close();
  let go;
  const open = indexedDB.open.bind(indexedDB);
  indexedDB.open = (...name) => {
    const request = {};
    go = () => {
      const real = open(...name);
      real.onsuccess = () => Object.assign(request, { result: real.result }).onsuccess();
    };
    return request;
  };
  const opening = Page.open();
  await until(() => go);
  clock.pass(2);
  const next = await opening;
  go();
  await until(() => next.adopted.length);
  assert.deepEqual([next.nonces, next.adopted[0].nonce], [[], "a"]);
});

test("a database that the browser has closed is opened again", async () => {
  const page = await Page.open();
  const { transaction } = Object.getPrototypeOf(await connection());
  let failures = 1;
  await withTransaction(function (...args) {
    if (failures-- > 0) throw new DOMException("closing", "InvalidStateError");
    return transaction.apply(this, args);
  }, () => page.write("a"));
  assert.deepEqual(page.failures, []);
});

test("a full disk is told, and hurts nothing", async () => {
  const page = await Page.open();
  const full = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  await withTransaction(full, async () => {
    for (const nonce of ["a", "b"]) page.storage.added(row({ nonce }));
    await until(() => page.failures.length);
  });
  assert.deepEqual([page.failures.map(({ name }) => name), page.stored], [["QuotaExceededError"], []]);
  await page.write("c");
});

test("another page may delete the database", async () => {
  const page = await Page.open();
  await page.write("a");
  await new Promise((resolve, reject) => {
    const deleting = indexedDB.deleteDatabase("realtime");
    deleting.onsuccess = resolve;
    deleting.onblocked = reject;
  });
  await page.write("b");
  assert.deepEqual(page.failures, []);
});

test("a page that is closed leaves no timer and no lock behind", async () => {
  const page = await Page.open({ keep: 5 });
  page.storage.changed(room());
  page.storage.close();
  page.storage.close();
  await until(() => !navigator.locks.names().length);
  assert.equal(clock.size, 0);
});

// Kept rooms

function room(slug = "r", length = 8, size = 1) {
  const messages = Array.from({ length }, (_, index) => ({ id: String(index + 1), seq: index + 1, content: "x".repeat(size) }));
  return { slug, messages, position: { seq: length, epoch: "e" } };
}

async function reopened(page, options) {
  page.storage.close();
  return (await Page.open(options)).kept.rooms;
}

test("the newest messages of a room are kept with the position that they reach", async () => {
  const page = await Page.open({ keep: 3 });
  page.storage.changed(room("r", 7));
  page.storage.changed(room("r", 8));
  clock.pass(1);
  const [kept, ...others] = await reopened(page, { keep: 3 });
  assert.deepEqual([kept.slug, kept.seq, kept.epoch, kept.messages.map(({ seq }) => seq)], ["r", 8, "e", [6, 7, 8]]);
  assert.deepEqual(others, []);
});

test("a room without a position is not kept, and without `keep` none is", async () => {
  const page = await Page.open({ keep: 3 });
  page.storage.changed({ ...room(), position: null });
  assert.deepEqual(await reopened(page, { keep: 3 }), []);
  const other = await Page.open();
  other.storage.changed(room());
  assert.deepEqual(await reopened(other, { keep: 3 }), []);
});

test("a kept room with messages beyond its position is not shown", async () => {
  const page = await Page.open({ keep: 3 });
  page.storage.changed({ ...room(), position: { seq: 5, epoch: "e" } });
  page.storage.changed({ ...room("s"), messages: [null] });
  assert.deepEqual(await reopened(page, { keep: 3 }), []);
});

test("at most 50 rooms are kept, the latest ones, also over a reload", async () => {
  const page = await Page.open({ keep: 3 });
  for (let number = 0; number < 49; number++) page.storage.changed(room(`r${number}`));
  page.storage.close();
  clock.pass(1);
  const next = await Page.open({ keep: 3 });
  for (const slug of ["new", "r0", "newer"]) next.storage.changed(room(slug));
  const slugs = (await reopened(next, { keep: 3 })).map(({ slug }) => slug);
  assert.equal(slugs.length, 50);
  assert.deepEqual([slugs.includes("r0"), slugs.includes("r1"), slugs.includes("r2")], [true, false, true]);
});

test("at most 2 MiB are kept", async () => {
  const page = await Page.open({ keep: 100 });
  for (const slug of ["a", "b", "c"]) page.storage.changed(room(slug, 100, 9000));
  assert.deepEqual((await reopened(page, { keep: 100 })).map(({ slug }) => slug), ["b", "c"]);
});

/** A connection to the database, to reach the class that a page uses. */
function connection() {
  return new Promise((resolve) => {
    const opening = indexedDB.open("realtime");
    opening.onsuccess = () => (opening.result.close(), resolve(opening.result));
  });
}

async function withTransaction(replacement, act) {
  const { prototype } = (await connection()).constructor;
  const { transaction } = prototype;
  prototype.transaction = replacement;
  try {
    await act();
  } finally {
    prototype.transaction = transaction;
  }
}

test("messages before the storage is open are left to the client", async () => {
  const page = new Page();
  for (const method of ["added", "acknowledged", "failed", "discarded", "changed"]) page.storage[method](row());
  page.storage.close();
  await page.storage.forget();
  assert.deepEqual([page.stored, page.failures], [[], []]);
});

for (const turns of [0, 1, 2, 3, 4, 6])
  test(`a page that is put away ${turns} turns after it has begun to read has all messages when it comes back`, async () => {
    const page = await Page.open();
    await page.write("a");
    page.storage.close();
    const other = new Page();
    const early = other.storage.open(other.host);
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
    other.storage.close();
    const { rows } = await other.storage.open(other.host);
    await early;
    clock.pass(30);
    await other.write("b");
    assert.deepEqual([...rows, ...other.adopted].map(({ nonce }) => nonce), ["a"]);
  });
