/**
 * Measures one client with many topics: `node --experimental-websocket --expose-gc measure.js ws://host/ws/ count/ 10000`.
 * The address, the beginning of the topics' paths, and their number; the server must permit as many.
 */

import { RealtimeClient } from "./src/client.js";

const [url, prefix, count] = process.argv.slice(2);
const names = Array.from({ length: Number(count) }, (_, at) => `${prefix}n${at}`);
let frames = 0;
globalThis.WebSocket = class extends WebSocket {
  constructor(...options) {
    super(...options);
    sockets.push(this);
  }
  send(text) {
    frames++;
    super.send(text);
  }
};
const sockets = [];

const client = new RealtimeClient({ url });
const heap = () => (globalThis.gc?.(), process.memoryUsage().heapUsed);

const opened = () => new Promise((resolve) => client.on("state", ({ state }) => state === "open" && resolve()));

function live(topic) {
  return new Promise((resolve) => {
    if (topic.state === "live") return resolve();
    const stop = topic.on("state", ({ state }) => state === "live" && (stop(), resolve()));
  });
}

/** Return the milliseconds until all topics are live, and what that took. */
async function entered(topics, act = () => {}) {
  const [start, before, cpu] = [performance.now(), frames, process.cpuUsage()];
  act();
  await Promise.all(topics.map(live));
  const { user, system } = process.cpuUsage(cpu);
  return { ms: Math.round(performance.now() - start), frames: frames - before, cpu_ms: Math.round((user + system) / 1000) };
}

client.connect();
await opened();
const empty = heap();
const topics = names.map((name) => client.topic(name));
const first = await entered(topics, () => topics.forEach((topic) => topic.subscribe()));
const bytes_each = Math.round((heap() - empty) / topics.length);
sockets.at(-1).close();
await opened();
const again = await entered(topics);
console.log(JSON.stringify({ topics: topics.length, first, bytes_each, again }));
process.exit(0);
