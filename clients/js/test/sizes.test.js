/** The sizes of the files that a page loads, and what a document tells of them. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { features, FILES, weigh } from "../sizes.js";

/** KiB, minified and after gzip. Raise one only for what a page gains by it. */
const MOST = {
  ...{ core: 5.7, topics: 9.7, client: 13 },
  ...{ stores: 1.6, answers: 0.9, offline: 2.7, tabs: 2.9, http: 4.7, live: 3.2, htmx: 2.8, react: 1.1 },
};

test("each file that a page loads has a bound", () => {
  assert.deepEqual(FILES.filter((name) => !(name in MOST)), []);
});

for (const [name, most] of Object.entries(MOST))
  test(`${name}.js has at most ${most} KB`, async () => {
    const { kb } = await weigh(name, { external: ["react"] });
    assert.ok(kb <= most, `${kb.toFixed(2)} KB`);
  });

test("the document tells what the bytes of `client.js` are for", async () => {
  const document = await readFile(new URL("../../../docs/clients.md", import.meta.url), "utf8");
  const told = [...document.matchAll(/^\| ([^|`]+) \| (\d\.\d) \|$/gm)].map(([, feature, kb]) => [feature, Number(kb)]);
  const found = await features();
  assert.deepEqual(told.map(([feature]) => feature), found.map(([feature]) => feature));
  for (const [at, [feature, kb]] of found.entries()) assert.ok(Math.abs(kb - told[at][1]) < 0.2, `${feature}: ${kb.toFixed(1)}`);
});
