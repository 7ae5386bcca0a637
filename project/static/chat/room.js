/** The current room: its messages, its users, and the rights of this user. */

import { button } from "./banner.js";

export class RoomView {
  #isLoading = false;
  #comeBack = 0; // timer: when a refusal ends
  #voice = 0; // timer: when a mute ends

  /** `elements`: title, log, top, invite; `parts`: list, people, composer, rooms; `client()` returns the client of now. */
  constructor(elements, parts, client, slug) {
    this.title = elements.title;
    this.log = elements.log;
    this.top = elements.top;
    this.invite = elements.invite;
    this.list = parts.list;
    this.people = parts.people;
    this.composer = parts.composer;
    this.rooms = parts.rooms;
    this.client = client;
    this.slug = slug;
  }

  get room() {
    return this.slug ? this.client()?.room(this.slug) : undefined;
  }

  /** Show a room, and join it if needed. */
  enter(slug) {
    this.slug = slug;
    clearTimeout(this.#comeBack);
    this.title.textContent = this.rooms.title(slug);
    this.composer.enter(slug);
    this.rooms.mark(slug);
    this.people.forgetTypists();
    if (isThere(this.room)) this.show(this.room);
    else this.#showNothing("Loading…");
    this.room.join();
    this.composer.allow(this.room);
  }

  /** Show the reason why there is no room. */
  leave(why) {
    this.slug = null;
    this.composer.clear();
    this.title.textContent = "Realtime chat";
    this.#showNothing(why);
    this.list.forget();
    this.composer.allow();
  }

  /** Show the room after a join, or after its messages were lost. */
  show(room) {
    this.list.show(room);
    this.showTop();
    this.showRights(room);
  }

  showRights(room) {
    this.rooms.rename(room.slug, room.about.title);
    this.title.textContent = this.rooms.title(room.slug);
    this.#awaitVoice(room);
    this.invite.hidden = room.about.kind !== "private" || !room.may("moderate");
    this.showPeople();
    this.composer.allow(this.room);
  }

  showPeople() {
    this.people.show(this.room, this.client().userId);
  }

  /** Show why the room cannot be joined. If the refusal ends by itself, join again then. */
  showRefusal({ code, message, retryAfter }) {
    const again = () => this.enter(this.slug);
    if (code === "unknown_room") this.#showNothing("There is no such room.");
    else this.#showNothing(message, " ", button("Try again", again));
    this.composer.allow(this.room);
    clearTimeout(this.#comeBack);
    if (retryAfter) this.#comeBack = later(retryAfter, again);
  }

  /** Show above the messages whether there are earlier ones. */
  showTop() {
    const { room, log } = this;
    if (this.#isLoading) this.sayOnTop("Loading…");
    else if (this.list.isEmpty) this.sayOnTop("No messages yet. Say hello.");
    else this.sayOnTop(room?.hasMore ? "" : `The beginning of ${this.rooms.title(this.slug)}`);
    log.classList.toggle("empty", this.list.isEmpty);
    if (room?.hasMore && log.scrollHeight <= log.clientHeight) this.loadEarlier();
  }

  sayOnTop(text) {
    if (this.top.textContent !== text) this.top.textContent = text;
  }

  async loadEarlier() {
    const { room } = this;
    if (this.#isLoading || room?.state !== "live" || !room.hasMore) return;
    this.#isLoading = true;
    this.showTop();
    try {
      const { messages } = await room.history();
      if (room.slug === this.slug) this.list.prepend(messages.map(({ id }) => room.message(id)).filter(Boolean));
    } catch {
      // The next scroll tries again.
    }
    this.#isLoading = false;
    this.showTop();
  }

  #showNothing(why, ...parts) {
    this.invite.hidden = true;
    this.list.clear();
    this.people.clear();
    this.log.classList.add("empty");
    this.top.replaceChildren(why, ...parts);
  }

  // The server sends nothing when a mute ends, so the page requests the room's state.
  #awaitVoice({ slug, about }) {
    clearTimeout(this.#voice);
    if (!about.muted_until) return;
    const seconds = Math.max(1, (Date.parse(about.muted_until) - Date.now()) / 1000);
    this.#voice = later(seconds, () => this.#askRights(slug));
  }

  async #askRights(slug) {
    const { room } = this;
    if (slug !== this.slug || room.state !== "live") return;
    const reply = await this.client().request({ type: "join", room: slug, history: 0 }).catch(() => null);
    if (!reply || slug !== this.slug) return;
    room.about = reply;
    this.showRights(room);
  }
}

/** Whether a room has been joined, though the connection may be lost. */
export function isThere(room) {
  return room?.state === "live" || room?.state === "stale";
}

/** Timers of more than 24 days would fire at once. */
export function later(seconds, act) {
  return setTimeout(act, Math.min(seconds * 1000 + 500, 2 ** 31 - 1));
}
