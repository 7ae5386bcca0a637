/** The public tests of a server of durable streams, without those in `excluded.js`. */

import { runConformanceTests } from "@durable-streams/server-conformance-tests";
import { afterAll, beforeEach, expect } from "vitest";

import { reasonOf, unused } from "./excluded.js";

beforeEach((context) => {
  const reason = reasonOf(context.task);
  if (reason) context.skip(reason);
});

afterAll(() => expect(unused()).toEqual([]));

runConformanceTests({ baseUrl: process.env.STREAMS });
