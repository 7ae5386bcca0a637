/** Growing waits between attempts to connect, with full jitter so that clients do not return together. */

const LEAST = 0.5; // seconds
const FIRST = 1.5;
const GROWTH = 1.5;
const MOST = 30;

/**
 * Return the seconds to wait after some failures in a row, or after the server has asked for a pause.
 * @param {number} failures
 * @param {any} [retryAfter] as the server has sent it
 */
export function wait(failures, retryAfter, random = Math.random) {
  if (retryAfter > 0) return retryAfter * (1 + random());
  return LEAST + random() * (Math.min(MOST, FIRST * GROWTH ** failures) - LEAST);
}
