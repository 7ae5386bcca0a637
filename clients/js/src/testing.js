/** A server and a clock for tests of pages: no network, no waiting. docs/client.md */

export { FakeServer, fakeServer } from "./testing/server.js";
