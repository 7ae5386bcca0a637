/** Commands that the page sends once, each of which has an answer. */

import { whenAborted } from "./abort.js";
import { failure } from "./errors.js";

const SECONDS = 10;

/**
 * Send a command. `take` gets the reply in the task in which it arrives: what follows in its frame depends on it.
 * @param {any} session
 * @param {object} command
 * @param {import("./types.js").RequestOptions} [options]
 * @param {(reply: any) => void} [take]
 * @returns {Promise<any>}
 */
export async function request({ client, clock, connection }, command, { timeout = SECONDS, wait = 0, signal } = {}, take = () => {}) {
  if (wait && !connection.isOpen && !signal?.aborted) await opened(client, clock, wait, signal);
  if (signal?.aborted) throw failure("aborted", "not_sent");
  if (!connection.isOpen) throw failure("offline", "not_sent", { retryable: true });
  return new Promise((resolve, reject) => {
    const unwatch = whenAborted(signal, () => reject(failure("aborted", "unknown")));
    const answered = (reply) => (unwatch(), take(reply), resolve(reply));
    const failed = (error) => (unwatch(), reject(error));
    connection.ask(command, answered, failed, { seconds: timeout });
  });
}

// Settles when the client is open or closed, the time is over, or the signal has aborted.
function opened(client, clock, seconds, signal) {
  return /** @type {Promise<void>} */ (new Promise((resolve) => {
    const end = () => {
      for (const stop of stops) stop();
      resolve();
    };
    const moved = ({ state }) => (state === "open" || state === "closed") && end();
    const stops = [clock.after(seconds, end), client.on("state", moved), whenAborted(signal, end)];
  }));
}
