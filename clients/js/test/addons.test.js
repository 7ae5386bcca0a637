/** The examples of the documents about tabs and offline pages, and the sizes that a document tells. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";

import { FILES } from "../sizes.js";
import { RealtimeClient } from "../src/client.js";
import { offline } from "../src/offline.js";
import { tabs } from "../src/tabs.js";
import { fakeServer } from "../src/testing.js";
import { until } from "./until.js";

const root = new URL("../../../", import.meta.url);
const read = (name) => readFile(new URL(`docs/${name}`, root), "utf8");
const AsyncFunction = (async () => {}).constructor;

/** Run the module of a page; return its client, whose server is a fake. */
async function client(document) {
  const [, code] = document.match(/<script type="module">\n(.*?)<\/script>/s);
  const server = fakeServer();
  server.user = { user_id: "1", username: "ada" };
  const readConfig = () => ({ url: "ws://localhost/ws/", user: "1", transport: server.transport, clock: server.clock });
  const names = { RealtimeClient, readConfig, offline, tabs };
  const source = `${code.replace(/^ *import .*\n/gm, "")}; return client;`;
  return new AsyncFunction(...Object.keys(names), source)(...Object.values(names));
}

test("a page shares its socket by one option", async () => {
  const page = await client(await read("tabs.md"));
  page.connect();
  await until(() => page.state === "open");
  page.close();
});

test("a page keeps its messages by one option, and forgets them at a logout", async () => {
  Object.assign(globalThis, { indexedDB: new IDBFactory(), IDBKeyRange });
  const document = await read("offline.md");
  const page = await client(document);
  const room = page.room("general");
  room.send("early").catch(() => {});
  await room.join();
  await room.send("hello");
  const [, code] = document.match(/```js\n(.*?)```/s);
  await new AsyncFunction("client", code)(page);
  assert.equal(page.state, "closed");
});

/** The sizes that the documents tell, by the names of the files. */
async function* told() {
  const [clients, client, http] = await Promise.all(["clients.md", "client.md", "http.md"].map(read));
  yield ["http", http.match(/A file of ([\d.]+) KB/)[1]];
  for (const [, name, size] of clients.matchAll(/`(\w+)\.js`\]\S+, ([\d.]+) KB/g)) yield [name, size];
  for (const [, name, size] of client.matchAll(/^\| `(\w+)\.js` \| ([\d.]+) /gm)) yield [name, size];
  for (const [, names, sizes] of clients.matchAll(/^\| (`\w+\.js`.*?) \| ([\d., ]+) \|/gm))
    yield* [...names.matchAll(/\w+(?=\.js)/g)].map(([name], at) => [name, sizes.split(", ")[at]]);
  const [, least, most] = clients.match(/^\| this one \| \| ([\d.]+) to ([\d.]+) /m);
  yield* [["core", least], ["client", most]];
}

test("the sizes in the documents are those of the built files", async () => {
  const found = [];
  for await (const [name, size] of told()) {
    const file = await readFile(new URL(`realtime/static/realtime/${name}.js`, root));
    const now = gzipSync(file, { level: 9 }).length / 1024;
    assert.ok(Math.abs(now - size) < 0.2, `The documents say that ${name}.js has ${size} KB, but it has ${now.toFixed(1)}.`);
    found.push(name);
  }
  assert.deepEqual([...new Set(found)].sort(), FILES);
});
