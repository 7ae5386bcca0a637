/**
 * The way back from plain HTTP: sockets are tried beside a line of requests. Once one has proved itself, the line goes
 * on over it.
 */

const RETRY_SECONDS = [60, 120, 240, 480, 600];
const TRIAL_SECONDS = 10;
const HIDDEN_SECONDS = 60;

export class SocketRetries {
  #line;
  #transport;
  #target;
  #host;
  #done;
  #tries = 0;
  /** @type {Trial | null} */
  #trial = null; // that runs, or has succeeded
  #hiddenAt = Infinity;
  #stop = () => {};
  #over = new AbortController();

  /** `done()` is called before the line goes on over a socket. */
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

  #try() {
    if (this.#trial || this.#over.signal.aborted) return;
    this.#stop();
    const trial = new Trial(this.#line, this.#transport, this.#target, () => this.#failed());
    this.#trial = trial;
    this.#over.signal.addEventListener("abort", () => trial.end());
    this.#stop = this.#host.clock.after(TRIAL_SECONDS, () => this.#judge(trial));
  }

  #failed() {
    this.#trial = null;
    this.#later();
  }

  #judge(trial) {
    if (!trial.isAnswered) return trial.fail();
    trial.isAdopted = true;
    this.#done();
    this.#line.adopt(trial.socket, this.#host.changed);
  }
}

/** A socket that has to live for some seconds, to belong to the same user and to answer a ping. */
class Trial {
  isAnswered = false;
  isAdopted = false; // its frames are those of the line
  socket;
  #line;
  #failed;
  #over = new AbortController();

  constructor(line, transport, target, failed) {
    this.#line = line;
    this.#failed = failed;
    this.socket = transport.open({ ...target, signal: this.#over.signal }, {
      onFrame: (text) => this.#receive(text),
      onEnd: (...end) => (this.isAdopted ? this.#line.end(...end) : this.fail()),
    });
  }

  end() {
    this.#over.abort();
    this.socket.close();
  }

  fail() {
    if (this.isAdopted || this.#over.signal.aborted) return;
    this.end();
    this.#failed();
  }

  #receive(text) {
    if (this.isAdopted) return this.#line.take(text);
    try {
      for (const line of text.split("\n").filter(Boolean)) this.#examine(JSON.parse(line));
    } catch {
      this.fail();
    }
  }

  #examine(frame) {
    if (this.#over.signal.aborted) return;
    switch (frame.type) {
      case "welcome":
        if (frame.user_id !== this.#line.userId) return this.fail();
        return this.socket.send('{"type":"ping"}');
      case "ping":
        return this.socket.send(JSON.stringify({ type: "pong", t: frame.t }));
      case "pong":
        return (this.isAnswered = true);
      case undefined:
        return this.fail();
    }
  }
}
