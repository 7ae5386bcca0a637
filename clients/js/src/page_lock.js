/** A lock that each page holds as long as it lives, so that others learn when it is gone. */

const PREFIX = "realtime:tab:";
const OLD_MS = 60_000; // without locks, rows that are older belong to a page that is gone

/** Hold the lock of a page until the signal aborts. */
export async function holdPage(page, signal) {
  const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
  await globalThis.navigator?.locks?.request(PREFIX + page, () => aborted).catch(() => {});
}

/** Call `act(least)` if the page is gone, or may be gone for what has at least this age in ms. Returns its list. */
export async function isGone(page, act) {
  const locks = globalThis.navigator?.locks;
  if (!page || !locks) return act(page ? OLD_MS : 0);
  return locks.request(PREFIX + page, { ifAvailable: true }, (lock) => (lock ? act(0) : [])).catch(() => act(OLD_MS));
}
