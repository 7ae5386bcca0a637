/** Commands that wait for their replies, by the `ref` that both have. */

import { failure } from "./errors.js";

/** @import { RealtimeError } from "./errors.js" */

/** @type {(...given: any[]) => void} */
const nothing = () => {};

export class Replies {
  #clock;
  #ref = 0;
  #expected = new Map(); // ref → { onReply, onError, left, stop }

  constructor(clock) {
    this.#clock = clock;
  }

  /**
   * Expect the reply to a command, or `count` of them to a batch. After `seconds` without one it fails. Returns the `ref`.
   * @param {(frame: any) => void} [onReply]
   * @param {(error: RealtimeError, frame: any) => void} [onError]
   * @param {{ seconds?: number, count?: number }} [expected]
   */
  expect(onReply = nothing, onError = nothing, { seconds, count = 1 } = {}) {
    const ref = ++this.#ref;
    const late = () => {
      this.#expected.delete(ref);
      onError(failure("timeout", "unknown", { retryable: true }), {});
    };
    this.#expected.set(ref, { onReply, onError, left: count, stop: seconds ? this.#clock.after(seconds, late) : nothing });
    return ref;
  }

  /** Return the callbacks of the command that a frame replies to; undefined if it is none, or came too late. */
  take({ ref }) {
    const reply = this.#expected.get(ref);
    if (reply && !--reply.left) {
      reply.stop();
      this.#expected.delete(ref);
    }
    return reply;
  }

  /** Expect no reply any more. Returns a function that fails all of them. */
  clear() {
    const lost = [...this.#expected.values()];
    this.#expected.clear();
    return () => {
      for (const { onError, stop } of lost) {
        stop();
        onError(failure("offline", "unknown", { retryable: true }), {});
      }
    };
  }
}
