/**
 * Plain HTTP for networks that block sockets: a transport around another one. It takes over after three attempts that
 * ended early while the site answers, and tries the socket again from time to time. docs/http.md
 */

import { HttpLine } from "./http_line.js";
import { keep, recall } from "./http_memory.js";
import { SocketRetries } from "./socket_retries.js";

const ATTEMPTS = 3;
const EARLY_SECONDS = 5; // some appliances allow the handshake, and cut after it
const UNANSWERED_SECONDS = 9;
const KEPT_MS = 600_000;

/**
 * The option `fallback` of a client. `url`: the address for plain HTTP, by default the option `http` of the client.
 * @param {{ url?: string }} [options]
 * @returns {import("./transport.js").Wrapper}
 */
export function http({ url } = {}) {
  return (transport, host) => new Fallback(transport, host, url ?? host.http ?? "/realtime/http");
}

class Fallback {
  #transport;
  #host;
  #url;
  #failures = 0; // in a row
  #memory = recall();

  constructor(transport, host, url) {
    this.#transport = transport;
    this.#host = host;
    this.#url = url;
  }

  // Not at once: where a page is rendered on a server, it has no address.
  get #address() {
    return new URL(this.#url, globalThis.location?.href);
  }

  open(target, receiver) {
    const left = this.#memory.until - Date.now(); // more than it was, if the clock was set
    return left > 0 && left <= KEPT_MS ? this.#openHttp(target, receiver) : this.#openSocket(target, receiver);
  }

  // Whether to fall back

  #openSocket(target, receiver) {
    const { clock } = this.#host;
    const began = clock.now();
    /** @type {any} */
    let openedAt = null;
    let isEnded = false;
    const ended = (isBlocked) => {
      if (!isEnded) this.#count(isBlocked);
      isEnded = true;
    };
    target.signal.addEventListener("abort", () => {
      if (openedAt === null && clock.now() - began >= UNANSWERED_SECONDS) ended(true);
    });
    return this.#transport.open(target, {
      onFrame: (text) => {
        openedAt ??= clock.now();
        if (text.includes('"disconnect"') || clock.now() - openedAt >= EARLY_SECONDS) ended(false);
        receiver.onFrame(text);
      },
      onEnd: (code, reason) => {
        const isEarly = openedAt === null || clock.now() - openedAt < EARLY_SECONDS;
        ended(isEarly && !(code >= 4000 && code < 5000));
        receiver.onEnd(code, reason);
      },
    });
  }

  #count(isBlocked) {
    this.#failures = isBlocked ? this.#failures + 1 : 0;
    if (this.#failures >= ATTEMPTS) this.#fall();
  }

  // Not while the site itself does not answer.
  async #fall() {
    const live = this.#address;
    live.pathname = live.pathname.replace(/http\/?$/, "live/");
    live.search = "";
    const response = await fetch(live, { cache: "no-store" }).catch(() => null);
    if (!response?.ok) return;
    this.#memory.until = Date.now() + KEPT_MS;
    keep(this.#memory);
  }

  // Back to a socket

  #openHttp(target, receiver) {
    const line = new HttpLine(this.#address.href, target, receiver, this.#host.clock, this.#memory);
    new SocketRetries(line, this.#transport, target, this.#host, () => this.#returned());
    return line;
  }

  #returned() {
    this.#failures = 0;
    this.#memory.until = 0;
    keep(this.#memory);
  }
}
