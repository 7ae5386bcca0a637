/** Answers what the server asks this page. docs/client.md */

import { whenAborted } from "./abort.js";
import { addOn } from "./addon.js";
import { report } from "./report.js";

const REMEMBERED = 64; // answers, in case the server refuses one
const NAME_CHARACTERS = 64;
const REASON_CHARACTERS = 500;

/** @import { AddOnHost } from "./addon.js" */

/** The option `answers` of a client, which gets `answer()`. */
export const answers = () => addOn((/** @type {AddOnHost} */ host) => new Answers(host));

export class Answers {
  #connection;
  #clock;
  #handlers = new Map(); // name of a question → { handler }
  #running = new Map(); // ref → AbortController
  #answered = new Set(); // refs

  /** @param {AddOnHost} host */
  constructor({ connection, clock }) {
    this.#connection = connection;
    this.#clock = clock;
  }

  /**
   * Answer questions of this name until the signal aborts. Returns a function that stops it.
   * @param {string} name
   * @param {(data: any, context: { signal: AbortSignal }) => unknown} handler
   * @param {import("./types.js").Lifetime} [options]
   */
  add(name, handler, { signal } = {}) {
    if (signal?.aborted) return () => {};
    const entry = { handler };
    const stop = () => {
      if (this.#handlers.get(name) === entry) this.#handlers.delete(name);
      unwatch();
    };
    const unwatch = whenAborted(signal, stop);
    this.#handlers.set(name, entry);
    return stop;
  }

  // What the client calls

  take(frame) {
    if (frame.type === "ask") void this.#ask(frame);
    return frame.type === "ask" || (frame.type === "error" && this.#refused(frame));
  }

  /** Drop all questions: the line has ended, and the server has told those who asked. */
  dropped() {
    for (const work of this.#running.values()) work.abort();
    this.#running.clear();
    this.#answered.clear();
  }

  // Let the handler work on an `ask` of the server, until its time is over.
  async #ask({ ref, name, data, timeout }) {
    if (this.#running.has(ref)) return;
    const work = new AbortController();
    this.#running.set(ref, work);
    const stop = this.#clock.after(timeout, () => work.abort());
    const answer = await this.#work(name, data, work.signal);
    stop();
    if (this.#running.get(ref) === work) this.#running.delete(ref);
    if (!work.signal.aborted) this.#send(ref, answer);
  }

  // If the question is still open, its answer is the code of the error. Returns whether the error is about an answer.
  #refused({ ref, code, message }) {
    if (!this.#answered.delete(ref)) return false;
    if (code === "too_large" || code === "invalid_message") this.#connection.send({ type: "answer", ref, ...refusal(code, message) });
    return true;
  }

  async #work(name, data, signal) {
    const handler = this.#handlers.get(name)?.handler;
    if (!handler) return refusal("no_handler", `The page has no handler for ${name}.`);
    try {
      const found = (await handler(data, { signal })) ?? {};
      JSON.stringify(found); // here it is the fault of the handler
      return { data: found };
    } catch (/** @type {any} */ error) {
      if (typeof error?.code === "string") return refusal(error.code, error.message);
      if (!signal.aborted) report(error);
      return refusal("internal", "The handler has failed.");
    }
  }

  #send(ref, answer) {
    this.#answered.add(ref);
    if (this.#answered.size > REMEMBERED) this.#answered.delete(this.#answered.values().next().value);
    this.#connection.send({ type: "answer", ref, ...answer });
  }
}

const refusal = (code, message) => ({
  code: code.slice(0, NAME_CHARACTERS),
  message: String(message ?? "").slice(0, REASON_CHARACTERS),
});
