/** Reads the entries that are missing in a log, page by page, before anything newer is delivered. */

const PAGE = 100;
const AGAIN_SECONDS = 1;
const REPLY_SECONDS = 30;

export class Gap {
  #subscription;
  #host;
  #target = 0; // the seq that has to be reached; 0: nothing is missing
  #stop = () => {};

  constructor(subscription, host) {
    this.#subscription = subscription;
    this.#host = host;
  }

  get isOpen() {
    return this.#target > 0;
  }

  /** Read on until a seq is reached. */
  fill(seq) {
    const isRunning = this.isOpen;
    this.#target = Math.max(this.#target, seq);
    if (!isRunning) this.#read();
  }

  /** Give up: the server does not follow the log any more. */
  close() {
    this.#target = 0;
    this.#stop();
  }

  #read() {
    const { turn, target, position } = this.#subscription;
    const inTime = (act) => (given) => {
      if (turn === this.#subscription.turn && this.#subscription.isHeld) act(given);
    };
    this.#host.connection.ask(
      { type: "history", ...target, after: position, limit: PAGE },
      inTime((reply) => this.#take(reply)),
      inTime((error) => this.#failed(error)),
      { seconds: REPLY_SECONDS },
    );
  }

  #take({ epoch, through, ...reply }) {
    const subscription = this.#subscription;
    subscription.epoch ||= epoch;
    if (epoch !== subscription.epoch) return subscription.resync();
    const start = subscription.position;
    if (!subscription.showAll(reply.messages ?? reply.entries, through)) return;
    if (subscription.position >= this.#target) {
      this.close();
      subscription.caughtUp();
    } else if (subscription.position > start) this.#read();
    else this.#later(AGAIN_SECONDS);
  }

  #failed({ code, isRetryable, retryAfter = AGAIN_SECONDS }) {
    if (code === "offline" || code === "resync") return;
    if (isRetryable) this.#later(retryAfter);
    else this.#subscription.reenter();
  }

  #later(seconds) {
    this.#stop = this.#host.clock.after(seconds, () => this.#read());
  }
}
