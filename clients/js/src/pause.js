import { whenAborted } from "./abort.js";

/**
 * Wait some seconds, or until the signal aborts.
 * @param {{ after(seconds: number, act: () => void): () => void }} clock
 * @param {number} seconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function pause(clock, seconds, signal) {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = () => {
      stop();
      unwatch();
      resolve();
    };
    const stop = clock.after(seconds, end);
    const unwatch = whenAborted(signal, end);
  });
}
