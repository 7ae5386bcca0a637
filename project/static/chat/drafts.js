/** Drafts of a user, by room: stored in the browser until they are sent or the user logs out. */

const PREFIX = "realtime.drafts.";
const MOST_ROOMS = 50;
const MOST_MS = 30 * 86_400_000;

export class Drafts {
  #memory = new Map(); // room → [text, when], if the browser has no storage

  constructor(user) {
    this.key = PREFIX + user;
  }

  get(room) {
    return this.#read().get(room)?.[0] ?? "";
  }

  set(room, text) {
    const drafts = this.#read();
    if (!text && !drafts.has(room)) return;
    drafts.delete(room);
    if (text) drafts.set(room, [text, Date.now()]);
    this.#write([...drafts].slice(-MOST_ROOMS));
  }

  forget() {
    this.#write([]);
  }

  #read() {
    try {
      const kept = JSON.parse(localStorage.getItem(this.key) ?? "[]");
      return new Map(kept.filter(([, [text, at]]) => typeof text === "string" && Date.now() - at < MOST_MS));
    } catch {
      return new Map(this.#memory);
    }
  }

  #write(drafts) {
    this.#memory = new Map(drafts);
    try {
      if (drafts.length) localStorage.setItem(this.key, JSON.stringify(drafts));
      else localStorage.removeItem(this.key);
    } catch {
      // Without storage, or with a full one, drafts last as long as the page.
    }
  }
}
