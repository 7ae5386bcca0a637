/** The entries of one topic, for all elements that show it: also for those that come later than an entry. */

import { RecentEntries } from "./recent_entries.js";
import { CLOCK, momentOf } from "./signed.js";

const LINGER_SECONDS = 1;
const SHOWN = ["html", "refresh"];

/**
 * An event or value of the topic.
 * @typedef {{ name: string, data: any, key?: string, at: string, deleted: boolean, live: boolean }} Entry
 */
/**
 * What an element does with its topic.
 * @typedef {object} Shown
 * @property {(entry: Entry) => void} take
 * @property {() => void} expired the page is too old to be kept up to date
 * @property {() => void} stale the element is
 * @property {(error: any) => void} refused the user may not subscribe
 */
/**
 * @typedef {object} Host
 * @property {() => void} settle learn of elements that have come and gone
 * @property {() => void} settleOwn the same, after a swap of an entry
 * @property {() => void} ended no element has shown the topic for a moment
 */

export class Feed {
  #topic;
  #host;
  #held = new AbortController();
  /** @type {Map<Element, Shown>} */
  #elements = new Map();
  #recent = new RecentEntries();
  #oldest = Infinity; // the moment from which on the topic is subscribed
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {any} topic of the client @param {Host} host */
  constructor(topic, host) {
    this.#topic = topic;
    this.#host = host;
    const { signal } = this.#held;
    topic.on("event", (/** @type {Entry} */ entry) => SHOWN.includes(entry.name) && this.#take(entry), { signal });
    topic.on("reset", () => this.#reset(), { signal });
    topic.on("refused", (/** @type {any} */ { error }) => this.#all().forEach((shown) => shown.refused(error)), { signal });
  }

  /**
   * Let an element show the topic. If its signature is new, it first gets what was published since.
   * @param {Element} element
   * @param {Shown} shown
   * @param {string} [signature]
   * @param {boolean} [isOwn] a swap of the last entry has brought it
   */
  add(element, shown, signature, isOwn) {
    clearTimeout(this.#timer);
    const others = new Set(this.#elements.keys());
    this.#elements.set(element, shown);
    const moment = momentOf(signature);
    const isEntered = this.#topic.position !== null;
    const isUsed = isEntered || this.#isOldest(moment);
    this.#topic.subscribe({ signal: this.#held.signal, signature: isUsed ? signature : undefined });
    if (isEntered && moment && !isOwn) this.#replay(moment, others, shown);
  }

  /** @param {Element} element */
  delete(element) {
    if (!this.#elements.delete(element) || this.#elements.size) return;
    this.#timer = setTimeout(() => this.#end(), LINGER_SECONDS * 1000);
  }

  // A newer moment must not replace an older one: what came in between would be missing.
  /** @param {number} moment */
  #isOldest(moment) {
    if (!moment || moment > this.#oldest) return false;
    this.#oldest = moment;
    return true;
  }

  #end() {
    this.#held.abort();
    this.#host.ended();
  }

  /** @param {Entry} entry */
  #take(entry) {
    this.#host.settle();
    this.#recent.add(entry);
    for (const shown of this.#all()) this.#give(shown, entry);
  }

  // A swap may replace an element: then the next entry is for the new one.
  /** @param {number} moment @param {Set<Element>} others @param {Shown} shown */
  #replay(moment, others, shown) {
    const entries = this.#oldest === Infinity ? null : this.#recent.since(moment);
    this.#oldest = Math.min(this.#oldest, moment);
    if (!entries) return shown.stale();
    for (const entry of entries.filter((one) => isMissed(one, moment)))
      for (const [element, one] of [...this.#elements]) if (!others.has(element)) this.#give(one, entry);
  }

  /** @param {Shown} shown @param {Entry} entry */
  #give(shown, entry) {
    shown.take(entry);
    this.#host.settleOwn();
  }

  #reset() {
    this.#recent.clear();
    for (const shown of this.#all()) shown.expired();
  }

  #all() {
    return [...this.#elements.values()];
  }
}

// An element that was just fetched again must not fetch itself again for the same reason.
/** @param {Entry} entry @param {number} moment */
function isMissed({ name, at }, moment) {
  return name !== "refresh" || Date.parse(at) >= moment + CLOCK;
}
