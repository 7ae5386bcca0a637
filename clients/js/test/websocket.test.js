/** The usual transport, with a socket that the test plays. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { websocket } from "../src/websocket.js";

const { WebSocket } = globalThis;

afterEach(() => {
  globalThis.WebSocket = WebSocket;
});

test("a binary frame is passed on as a text that is no JSON", async () => {
  let socket;
  globalThis.WebSocket = class {
    constructor() {
      socket = this;
    }
  };
  const frames = [];
  const { signal } = new AbortController();
  const target = { url: async () => "ws://localhost/", token: async () => null, subprotocols: [], signal };
  websocket.open(target, { onFrame: (text) => frames.push(text), onEnd() {} });
  await new Promise((resolve) => setImmediate(resolve));
  for (const data of [new Blob(["{}"]), new ArrayBuffer(2), "{}"]) socket.onmessage({ data });
  assert.deepEqual(frames, ["[object Blob]", "[object ArrayBuffer]", "{}"]);
});
