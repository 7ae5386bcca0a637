/** What the files of the browser client weigh, and what the bytes of `client.js` are for: `node clients/js/sizes.js`. */

import { build } from "esbuild";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));

/** The files that a page loads. */
export const FILES = ["answers", "client", "core", "htmx", "http", "live", "offline", "stores", "tabs", "topics"];

/** The modules of `client.js` by what they are for; the others make them one client. */
const FEATURES = {
  "one connection: states, heartbeat, reconnects, sleep, pages that are put away": ["connection", "heartbeat", "replies", "websocket", "clock", "backoff", "page"],
  "one user": ["identity", "guest"],
  "what rooms and topics share: holders, resume, gaps, batches, members": [
    ...["subscription", "gap", "holders", "entrance", "handle", "handles", "weak_names", "position", "deferred", "members"],
  ],
  "topics: events, values, calls, snapshots": ["topic"],
  "rooms: messages, hints, what an earlier page has kept": ["room", "rooms", "messages", "kept"],
  "messages until their ack: nonces, order, limits, failures": ["outbox"],
};

/** Return the KiB of a bundle of one module, minified and after gzip, and the share of each module in it. */
export async function weigh(/** @type {string} */ name, /** @type {import("esbuild").BuildOptions} */ options = {}) {
  const { outputFiles, metafile } = await build({
    ...{ entryPoints: [here(`src/${name}.js`)], bundle: true, minify: true, write: false, format: "esm" },
    ...{ target: "es2022", charset: "utf8", metafile: true },
    ...options,
  });
  const [{ contents }] = outputFiles;
  const [{ inputs }] = Object.values(metafile.outputs);
  const shares = Object.entries(inputs).map(([path, { bytesInOutput }]) => [basename(path, ".js"), bytesInOutput / contents.length]);
  return { kb: gzipSync(contents, { level: 9 }).length / 1024, shares: new Map(/** @type {[string, number][]} */ (shares)) };
}

/** Return the KiB of `client.js` by feature: the share of its minified text in the compressed size. */
export async function features() {
  const { kb, shares } = await weigh("client");
  const found = Object.entries(FEATURES).map(([feature, modules]) => {
    const share = modules.reduce((sum, name) => sum + (shares.get(name) ?? 0), 0);
    return /** @type {[string, number]} */ ([feature, share * kb]);
  });
  const rest = kb - found.reduce((sum, [, one]) => sum + one, 0);
  return [...found, /** @type {[string, number]} */ (["the client: events, frames, requests, add-ons, errors", rest])];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const name of FILES) console.log(name, (await weigh(name)).kb.toFixed(1));
  for (const [feature, kb] of await features()) console.log(`| ${feature} | ${kb.toFixed(1)} |`);
}
