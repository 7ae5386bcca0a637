/** What the modules import: no module needs itself by a detour. */

import { build } from "esbuild";
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { FILES } from "../sizes.js";

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));

/** The modules that each module imports. */
async function imports() {
  const { metafile } = await build({
    entryPoints: [...FILES, "react", "testing"].map((name) => here(`../src/${name}.js`)),
    outdir: here("../node_modules/.cache"),
    external: ["react"],
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
  });
  return new Map(Object.entries(metafile.inputs).map(([path, { imports }]) => [path, imports.map((one) => one.path)]));
}

test("no import is circular", async () => {
  const all = await imports();
  assert.ok(all.size > 50);
  const done = new Set();
  const visit = (path, above) => {
    assert.ok(!above.includes(path), [...above, path].join(" → "));
    if (done.has(path)) return;
    for (const next of all.get(path) ?? []) visit(next, [...above, path]);
    done.add(path);
  };
  for (const path of all.keys()) visit(path, []);
});
