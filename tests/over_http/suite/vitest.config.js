/** One test after the other, on a server that has a second for a poll. */

import { defineConfig } from "vitest/config";

export default defineConfig({ test: { include: ["suite.test.js"], testTimeout: 10_000, watch: false } });
