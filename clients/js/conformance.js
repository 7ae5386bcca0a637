/**
 * The driver of the browser client for `python -m realtime.conformance`: JSON lines on stdin and stdout.
 * The argument is the file of the client: `client` (default), `topics` or `core`.
 */

import { createInterface } from "node:readline";

import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import WebSocket from "ws";

import { answers } from "../../realtime/static/realtime/answers.js";
import { http } from "../../realtime/static/realtime/http.js";
import { offline } from "../../realtime/static/realtime/offline.js";
import { Database } from "./src/database.js";
import { Locks } from "./test/locks.js";

/** A socket that reports an error as browsers do: by its close alone. */
globalThis.WebSocket ??= class extends WebSocket {
  constructor(...target) {
    super(...target);
    this.on("error", () => {});
  }
};

const [file = "client"] = process.argv.slice(2);
const { RealtimeClient } = await import(`../../realtime/static/realtime/${file}.js`);

const ROOMS = ["join", "log", "send", "store", "http", "gaps-by-history", "poll", "fallback", "one-line", "anew-by-join"];
const core = ["handshake", "identity", "heartbeat", "frames", "clock"];
const topics = [...core, "topic"];
const ABILITIES = { core, topics, client: [...topics, ...ROOMS] }[file];

/** The storage of the browser, which outlives the client but not the scenario. */
function emptyStore() {
  Object.defineProperty(globalThis, "indexedDB", { value: new IDBFactory(), configurable: true });
  Object.defineProperty(globalThis, "navigator", { value: { locks: new Locks() }, configurable: true });
}
globalThis.IDBKeyRange = IDBKeyRange;
emptyStore();

/** Return the result of a request to the store of waiting messages. */
async function stored(act) {
  const database = new Database(() => {});
  const result = await database.run((outbox) => {
    const request = act(outbox);
    return () => request.result ?? true;
  });
  database.close();
  return result;
}

/** What an earlier page of the tab has found out about the network: see `http_memory.js`. */
function rememberNetwork(over) {
  const memory = { until: over === "fallback" ? 0 : Date.now() + 60_000, isGathered: over === "poll" };
  globalThis.sessionStorage = { getItem: () => over && JSON.stringify(memory), setItem: () => {} };
}

const machineNow = Date.now;
const setClock = (seconds) => (Date.now = () => machineNow() + seconds * 1000);

const tell = (fields) => process.stdout.write(`${JSON.stringify(fields)}\n`);

let client;
let listening = new Set(); // names of rooms and topics

const acts = {
  connect({ url, http: address, over, user, tokens, store }) {
    rememberNetwork(over);
    const rest = [...(tokens ?? [])];
    const token = tokens && (() => (rest.length > 1 ? rest.shift() : rest[0]));
    const addOns = { answers: answers(), offline: store && offline(), fallback: address && http({ url: address }) };
    client = new RealtimeClient({ url, user, token, ...addOns });
    client.on("state", ({ state, code, retryIn }) => tell({ event: "state", state, code, retry_in: retryIn }));
    client.on("error", () => {}); // what a scenario needs to know is settled, or a state
    client.connect();
  },
  join({ room, history }) {
    listen(`room ${room}`, client.room(room), {
      message: ({ message }) => ({ seq: message.seq, content: message.content }),
      changed: ({ message }) => ({ seq: message.seq }),
      reset: () => ({}),
      refused: ({ error }) => ({ name: error.code }),
    });
    return client.room(room).join({ history }).then(() => {});
  },
  leave: ({ room }) => client.room(room).leave(),
  send: ({ room, content }) => client.room(room).send(content).then(({ seq }) => ({ seq })),
  subscribe({ topic, history }) {
    listen(`topic ${topic}`, client.topic(topic), {
      event: ({ name, key, seq, data }) => ({ name, key, seq, data }),
      reset: () => ({}),
      refused: ({ error }) => ({ name: error.code }),
    });
    return client.topic(topic).subscribe({ history }).then(() => {});
  },
  unsubscribe: ({ topic }) => client.topic(topic).unsubscribe(),
  call: ({ topic, name, data, timeout }) => client.topic(topic).call(name, data, { timeout }),
  answer: ({ name, data }) => void client.answer(name, () => data),
  values: ({ topic }) => Object.fromEntries(client.topic(topic).values),
  reconnect: () => client.connect(),
  clock: ({ by }) => void setClock(by),
  sync: () => new Promise((resolve) => setTimeout(resolve, 20)), // a transaction takes some turns
  async restart() {
    const rows = await stored((outbox) => outbox.getAll());
    acts.close();
    await stored((outbox) => rows.map((row) => outbox.put(row))[0] ?? {});
  },
  close() {
    client?.close();
    listening = new Set();
    setClock(0);
    emptyStore(); // what the client still writes is not in the new one
  },
};

function listen(name, handle, events) {
  if (listening.has(name)) return;
  listening.add(name);
  for (const [event, gist] of Object.entries(events)) handle.on(event, (detail) => tell({ event, ...gist(detail ?? {}) }));
}

async function settle({ id, do: what, ...fields }) {
  try {
    tell({ settled: id, value: await acts[what](fields) });
  } catch ({ code, outcome, path, message }) {
    tell({ settled: id, error: code ?? message, outcome, path });
  }
}

tell({ ready: ABILITIES });
createInterface({ input: process.stdin })
  .on("line", (line) => settle(JSON.parse(line)))
  .on("close", () => process.exit());
