/** Events as an asynchronous iterator, made from `on`. */

import { whenAborted } from "./abort.js";

const LIMIT = 1000;

/**
 * Iterate over the last argument of each call of a handler, from now on.
 * A loop that is more than 1,000 events behind gets those, and then the error.
 * @param {(handler: (...detail: any[]) => void) => () => void} on
 * @param {AbortSignal | undefined} signal ends the loop
 * @param {() => Error} overflow
 */
export function iterate(on, signal, overflow) {
  /** @type {any[]} */
  const buffer = [];
  let isFull = false;
  let wake = () => {};
  const end = () => {
    stop();
    unwatch();
    wake();
  };
  const stop = on((...detail) => {
    isFull = buffer.length === LIMIT;
    if (isFull) return end();
    buffer.push(detail.at(-1));
    wake();
  });
  const unwatch = whenAborted(signal, end);

  async function* read() {
    try {
      while (!signal?.aborted) {
        if (buffer.length) yield buffer.shift();
        else if (isFull) throw overflow();
        else await new Promise((resolve) => (wake = () => resolve(null)));
      }
    } finally {
      end();
    }
  }
  return read();
}
