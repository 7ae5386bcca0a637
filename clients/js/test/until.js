import assert from "node:assert/strict";

/** Wait for a condition. */
export async function until(condition) {
  for (const end = Date.now() + 5000; !condition(); ) {
    assert.ok(Date.now() < end, `not in time: ${condition}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
