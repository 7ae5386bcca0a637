/**
 * A tab's place in its group: the line that its client uses. The seat that holds the group's lock leads: it opens
 * the line to the server. The others follow it over the channel.
 *
 * Messages between seats: `who` (is there a leader?), `lead` (the line is open, with its `welcome`), `here` (it is not
 * open yet), `command`, `frame` (to one seat or to all) and `line` (it has ended).
 */

import { Router } from "./router.js";

const SILENT_SECONDS = 5;
const UNANSWERED_SECONDS = 2;
const ANSWER_SECONDS = 2.5;
const SPREAD_SECONDS = 0.5; // so that two tabs do not take the lead at once
const LATE_SECONDS = 1;
const YIELD_SECONDS = 0.2; // so that the others learn of the end of a line before they get the lock
const LOST = 1006;
const AT_ONCE = true;

const isVisible = () => !globalThis.document?.hidden;

export class Seat {
  #id = crypto.randomUUID();
  #group; // the name of its lock and channel
  #open;
  #receiver;
  #clock;
  /** @type {string | null} */
  #leader = null; // the seat that leads, once its line is open; this one while it leads
  /** @type {any} */
  #router = null; // while this one leads
  /** @type {any} */
  #alone = null; // a line of its own, if locks or channels fail
  /** @type {BroadcastChannel | null} */
  #channel = null;
  #gone = new AbortController();
  /** @type {(event?: any) => void} */
  #release = () => {};
  #stop = () => {}; // the timer
  #isAsking = false; // whether a command was sent after the last frame

  /** `name()`: that of the group. `open({ onFrame, onEnd })` opens the line to the server. */
  constructor(name, open, receiver, { signal, clock }) {
    this.#open = open;
    this.#receiver = receiver;
    this.#clock = clock;
    signal.addEventListener("abort", () => this.close(), { signal: this.#gone.signal });
    this.#sit(name).catch(() => this.#failed());
  }

  get name() {
    return this.#line ? this.#line.name : "tab";
  }

  get bufferedAmount() {
    return this.#line?.bufferedAmount ?? 0;
  }

  get batches() {
    return this.#line?.batches;
  }

  send(text) {
    if (this.#alone) return this.#alone.send(text);
    if (this.#router) return this.#router.send(text, this.#id);
    this.#post({ type: "command", to: this.#leader, text });
    if (!this.#isAsking) this.#expect(UNANSWERED_SECONDS);
    this.#isAsking = true;
  }

  close() {
    if (this.#isGone) return;
    this.#gone.abort();
    this.#stop();
    this.#channel?.close();
    this.#line?.close();
    if (this.#router) this.#clock.after(YIELD_SECONDS, () => this.#release());
  }

  get #line() {
    return this.#alone ?? this.#router?.line;
  }

  get #isGone() {
    return this.#gone.signal.aborted;
  }

  // Locks

  async #sit(name) {
    const { signal } = this.#gone;
    this.#group = await name();
    if (!signal.aborted) await this.#holdOwn();
    if (signal.aborted) return;
    this.#channel = new BroadcastChannel(this.#group);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#watchPage();
    this.#post({ type: "who", isVisible: isVisible() });
    this.#expect(UNANSWERED_SECONDS);
    await navigator.locks.request(this.#group, { signal }, () => this.#granted());
  }

  // By this lock, the leader learns that a seat has ended, or its page.
  #holdOwn() {
    const ended = new Promise((resolve) => this.#gone.signal.addEventListener("abort", resolve));
    return /** @type {Promise<void>} */ (new Promise((resolve, reject) => {
      const granted = () => (resolve(), ended);
      navigator.locks.request(this.#lockOf(this.#id), granted).catch(reject);
    }));
  }

  #lockOf(seat) {
    return this.#group + seat;
  }

  // A follower gets the lock when its leader is gone. That is a lost line. A closed seat may get it too.
  #granted() {
    if (this.#isGone) return;
    return this.#leader ? this.#end(LOST, "leader", AT_ONCE) : this.#lead();
  }

  // Another seat took the lock, or this browser gives none.
  #failed() {
    if (this.#isGone) return;
    if (this.#leader === this.#id) this.#end(LOST, "leader", AT_ONCE);
    else this.#alone = this.#open(this.#receiver);
  }

  #end(...end) {
    if (this.#isGone) return;
    this.close();
    this.#receiver.onEnd(...end);
  }

  // Lead

  #lead() {
    this.#stop();
    this.#leader = this.#id;
    this.#router = new Router(this.#id, {
      clock: this.#clock,
      deliver: (text, seat) => this.#deliver(text, seat),
      opened: () => this.#answer(),
    });
    this.#router.line = this.#open({
      onFrame: (text) => this.#router.receive(text),
      onEnd: (...end) => this.#lineEnded(end),
    });
    return this.#untilReleased();
  }

  // A page that is put away gives the lock back at once.
  async #untilReleased() {
    const released = new Promise((resolve) => (this.#release = resolve));
    globalThis.addEventListener?.("pagehide", this.#release);
    await released;
    globalThis.removeEventListener?.("pagehide", this.#release);
  }

  #lineEnded(end) {
    this.#post({ type: "line", end });
    this.#end(...end);
  }

  #deliver(text, seat) {
    if (seat !== this.#id) this.#post({ type: "frame", to: seat, text });
    if (!seat || seat === this.#id) this.#take(text);
  }

  #answer() {
    const text = this.#router.welcome;
    this.#post({ type: text ? "lead" : "here", text });
  }

  #hearFollower({ type, from, to, text, isVisible }) {
    if (type !== "who" && !(type === "command" && to === this.#id)) return;
    if (this.#router.admit(from, isVisible)) this.#watch(from);
    if (type === "who") this.#answer();
    else this.#router.send(text, from);
  }

  #watch(seat) {
    const { signal } = this.#gone;
    navigator.locks.request(this.#lockOf(seat), { signal }, () => this.#router.dismiss(seat)).catch(() => {});
  }

  // Follow

  #hear(message) {
    if (this.#router) return this.#hearFollower(message);
    const { type, from, to, text, end } = message;
    const isLeader = this.#leader ? from === this.#leader : type === "lead" || type === "here";
    if (!isLeader) return;
    this.#isAsking = false;
    this.#expect(SILENT_SECONDS);
    if (type === "line") this.#end(...end);
    else if (type === "frame" && (!to || to === this.#id)) this.#take(text);
    else if (type === "lead" && !this.#leader) this.#follow(from, text);
  }

  #follow(leader, welcome) {
    this.#leader = leader;
    this.#take(welcome);
  }

  #take(text) {
    if (!this.#isGone) this.#receiver.onFrame(text);
  }

  #post(message) {
    if (!this.#isGone) this.#channel?.postMessage({ from: this.#id, ...message });
  }

  // A leader that the browser has frozen answers nothing, and keeps the lock. A visible tab takes it.

  #watchPage() {
    const { signal } = this.#gone;
    const { document: page } = globalThis;
    page?.addEventListener("visibilitychange", () => this.#ask(), { signal });
    page?.addEventListener("freeze", () => this.#freeze(), { signal });
  }

  #freeze() {
    if (!this.#router) return;
    this.#end(LOST, "frozen");
    this.#release();
  }

  #expect(seconds, act = () => this.#ask()) {
    this.#stop();
    this.#stop = this.#clock.after(seconds, act);
  }

  #ask() {
    if (!isVisible()) return;
    if (this.#router) return this.#router.admit(this.#id, true);
    this.#post({ type: "who", isVisible: true });
    const seconds = ANSWER_SECONDS + Math.random() * SPREAD_SECONDS;
    const due = this.#clock.now() + seconds;
    this.#expect(seconds, () => this.#unanswered(due));
  }

  // A timer that is late fires before the page reads the answer.
  #unanswered(due) {
    if (this.#clock.now() - due > LATE_SECONDS) return this.#ask();
    if (isVisible()) this.#steal();
  }

  // The leader loses the lock at once, and this seat gives it back: who comes first leads.
  #steal() {
    const took = () => this.#end(LOST, "leader", AT_ONCE);
    navigator.locks.request(this.#group, { steal: true }, took).catch(() => {});
  }
}
