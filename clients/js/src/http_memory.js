/**
 * What a tab remembers of its network for its next page: until when plain HTTP is used (`until`, in ms of `Date.now()`),
 * and whether a proxy lets no stream through (`isGathered`).
 */

const KEY = "realtime:http";

/** @returns {{ until: number, isGathered: boolean }} */
export function recall() {
  try {
    return { until: 0, isGathered: false, ...JSON.parse(globalThis.sessionStorage?.getItem(KEY) ?? "{}") };
  } catch {
    return { until: 0, isGathered: false };
  }
}

/** @param {{ until: number, isGathered: boolean }} memory */
export function keep(memory) {
  try {
    globalThis.sessionStorage?.setItem(KEY, JSON.stringify(memory));
  } catch {
    // no storage: the next page finds out again
  }
}
