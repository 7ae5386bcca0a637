/**
 * Plain HTTP for networks that block sockets: a transport around another one. It takes over after three attempts that
 * ended early while the site answers, and tries the socket again from time to time. docs/http.md
 */

import { HttpLine } from "./http_line.js";

const ATTEMPTS = 3;
const EARLY_SECONDS = 5; // some appliances allow the handshake, and cut after it
const UNANSWERED_SECONDS = 9;
const KEPT_SECONDS = 600;
const RETRY_SECONDS = [60, 120, 240, 480, 600];
const PROBE_SECONDS = 10;
const HIDDEN_SECONDS = 60;
const KEY = "realtime:http";

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
    this.#url = new URL(url, globalThis.location?.href).href;
  }

  open(target, receiver) {
    return this.#memory.until > Date.now() ? this.#openHttp(target, receiver) : this.#openSocket(target, receiver);
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
    const live = new URL(this.#url);
    live.pathname = live.pathname.replace(/http\/?$/, "live/");
    live.search = "";
    const response = await fetch(live, { cache: "no-store" }).catch(() => null);
    if (!response?.ok) return;
    this.#memory.until = Date.now() + KEPT_SECONDS * 1000;
    keep(this.#memory);
  }

  // Back to a socket

  #openHttp(target, receiver) {
    const line = new HttpLine(this.#url, target, receiver, this.#host.clock, this.#memory);
    new Return(line, this.#transport, target, this.#host, () => this.#returned());
    return line;
  }

  #returned() {
    this.#failures = 0;
    this.#memory.until = 0;
    keep(this.#memory);
  }
}

/** Tries a socket beside a line of requests, and has the line go on over it once it has proved itself. */
class Return {
  #line;
  #transport;
  #target;
  #host;
  #done;
  #tries = 0;
  #isTrying = false;
  #hiddenAt = Infinity;
  #stop = () => {};
  #over = new AbortController();

  constructor(line, transport, target, host, done) {
    this.#line = line;
    this.#transport = transport;
    this.#target = target;
    this.#host = host;
    this.#done = done;
    const { signal } = this.#over;
    target.signal.addEventListener("abort", () => this.#end(), { signal });
    globalThis.addEventListener?.("online", () => this.#try(), { signal });
    globalThis.document?.addEventListener("visibilitychange", () => this.#turned(), { signal });
    this.#later();
  }

  #end() {
    this.#stop();
    this.#over.abort();
  }

  #later() {
    const seconds = RETRY_SECONDS[Math.min(this.#tries++, RETRY_SECONDS.length - 1)];
    this.#stop();
    this.#stop = this.#host.clock.after(seconds, () => this.#try());
  }

  #turned() {
    const now = this.#host.clock.now();
    if (document.hidden) this.#hiddenAt = now;
    else if (now - this.#hiddenAt >= HIDDEN_SECONDS) this.#try();
  }

  // The socket must live for some seconds, belong to the same user, and answer a ping.
  #try() {
    if (this.#isTrying || this.#over.signal.aborted) return;
    this.#isTrying = true;
    this.#stop();
    const probe = new AbortController();
    let isAnswered = false;
    let isAdopted = false;
    const fail = () => {
      if (isAdopted || probe.signal.aborted) return;
      probe.abort();
      socket.close();
      this.#isTrying = false;
      this.#later();
    };
    this.#over.signal.addEventListener("abort", () => (probe.abort(), socket.close()));
    const target = { ...this.#target, signal: probe.signal };
    const socket = this.#transport.open(target, {
      onFrame: (text) => {
        if (isAdopted) return this.#line.take(text);
        for (const frame of text.split("\n").filter(Boolean).map((line) => JSON.parse(line))) {
          if (frame.type === "welcome" && frame.user_id !== this.#line.userId) return fail();
          if (frame.type === "welcome") socket.send('{"type":"ping"}');
          if (frame.type === "ping") socket.send(JSON.stringify({ type: "pong", t: frame.t }));
          isAnswered ||= frame.type === "pong";
        }
      },
      onEnd: (...end) => (isAdopted ? this.#line.end(...end) : fail()),
    });
    this.#stop = this.#host.clock.after(PROBE_SECONDS, () => {
      if (!isAnswered) return fail();
      isAdopted = true;
      this.#done();
      this.#line.adopt(socket, this.#host.changed);
    });
  }
}

// For the next page of this tab.

function recall() {
  try {
    return { until: 0, isGathered: false, ...JSON.parse(globalThis.sessionStorage?.getItem(KEY) ?? "{}") };
  } catch {
    return { until: 0, isGathered: false };
  }
}

function keep(memory) {
  try {
    globalThis.sessionStorage?.setItem(KEY, JSON.stringify(memory));
  } catch {
    // no storage: the next page finds out again
  }
}
