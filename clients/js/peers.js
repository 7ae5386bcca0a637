/**
 * Measures the clients that docs/clients.md compares: installs each package in a folder that is deleted afterwards,
 * bundles what an application imports for a browser, and prints the bytes minified and after gzip.
 */

import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/** What an application imports, by the name and version of the package. */
const PEERS = {
  "socket.io-client@4.8.4": 'export { io } from "socket.io-client";',
  "centrifuge@5.8.0": 'export { Centrifuge } from "centrifuge";',
  "phoenix@1.8.16": 'export { Socket, Presence } from "phoenix";',
  "@anycable/web@1.1.1": 'export { createCable, Channel } from "@anycable/web";',
  "partysocket@1.3.0": 'export { default } from "partysocket";',
};

async function measure(name, source) {
  const folder = await mkdtemp(join(tmpdir(), "peer-"));
  try {
    await writeFile(join(folder, "package.json"), "{}");
    await writeFile(join(folder, "entry.js"), source);
    execFileSync("npm", ["install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", name], { cwd: folder });
    const { outputFiles } = await build({
      entryPoints: [join(folder, "entry.js")],
      write: false,
      bundle: true,
      minify: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
    });
    const [{ contents }] = outputFiles;
    return [contents.length, gzipSync(contents, { level: 9 }).length];
  } finally {
    await rm(folder, { recursive: true });
  }
}

for (const [name, source] of Object.entries(PEERS)) console.log(name, ...(await measure(name, source)));
