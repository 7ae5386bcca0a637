/**
 * The tests of the public suite that are left out, by the name of the test or of its group, and why.
 * The protocol allows a server that has no writing: then these say nothing about it.
 */

const EXCLUDED = {
  "a producer writes": ["Idempotent Producer Operations"],
  "a writer closes a stream": ["Stream Closure"],
  "a writer forks a stream": [
    "Fork - Creation",
    "Fork - Reading",
    "Fork - Appending",
    "Fork - Recursive",
    "Fork - Live Modes",
    "Fork - Deletion and Lifecycle",
    "Fork - TTL and Expiry",
    "Fork - JSON Mode",
    "Fork - Edge Cases",
  ],
  "a writer sets when a stream ends": [
    "TTL and Expiry Validation",
    "TTL and Expiry Edge Cases",
    "TTL Expiration Behavior",
    "HEAD Metadata Edge Cases",
  ],
  "a writer numbers what it writes": [
    "should enforce sequence ordering with seq",
    "should enforce sequence ordering",
    'should enforce lexicographic seq ordering ("2" then "10" rejects)',
    'should allow lexicographic seq ordering ("09" then "10" succeeds)',
    "should reject duplicate seq values",
    "should enforce case-sensitive seq ordering",
    "Sequence Ordering Properties",
    "concurrent writers with sequence numbers - server handles gracefully",
    "concurrent writers racing with incrementing seq values",
  ],
  "a stream of bytes, and ours have JSON": [
    "should handle binary data with integrity",
    "Chunking and Large Payloads",
    "base64 SSE catch-up pairs every data event with a control event",
    "should auto-detect binary streams and return base64 encoded data in SSE mode",
    "should include Stream-SSE-Data-Encoding header for binary streams",
    "should base64 encode data events only, control events remain JSON",
    "should handle empty binary payload with auto-detected base64 encoding",
    "should handle large binary payload with auto-detected base64 encoding",
    "should handle binary data with special bytes using auto-detected base64 encoding",
    "should auto-detect base64 encoding for application/x-protobuf streams",
    "should auto-detect base64 encoding for image/png streams",
    "should handle offset=now with auto-detected base64 encoding for binary streams",
    "Byte-Exactness Property",
    "Operation Sequence Properties",
    "Immutability Properties",
    "State Hash Verification",
  ],
};

const reasons = new Map(Object.entries(EXCLUDED).flatMap(([reason, names]) => names.map((name) => [name, reason])));
const used = new Set();

/** Why a test is left out; undefined if it is not. */
export function reasonOf(task) {
  for (let one = task; one; one = one.suite)
    if (reasons.has(one.name)) {
      used.add(one.name);
      return reasons.get(one.name);
    }
  return undefined;
}

/** The names that no test has. */
export function unused() {
  return [...reasons.keys()].filter((name) => !used.has(name));
}
