/** The sizes of what only bundlers load; tests/project/test_static.py has those of the static files. */

import { build } from "esbuild";
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

test("the hooks are small", async () => {
  const entry = fileURLToPath(new URL("../src/react.js", import.meta.url));
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, minify: true, write: false, format: "esm", external: ["react"] });
  assert.ok(gzipSync(outputFiles[0].contents, { level: 9 }).length <= 1.1 * 1024);
});
