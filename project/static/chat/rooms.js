/** The list of rooms: a page of them from the server, and a search there. */

import { make } from "./messages.js";

const SEARCH_MS = 200;
const REFRESH_MS = 10_000;

export class RoomList {
  #titles = new Map();
  /** @type {string} */
  #current;
  #unread = new Map();
  #searches = 0; // number of searches: only the result of the last one is shown
  #next = null; // the id after which the next page starts
  #refreshedAt = performance.now(); // the page contains a list
  #isExpanded = false;
  #timer = 0;

  /** `elements`: list, search, more; `shown()` is called after a change. */
  constructor(elements, config, shown) {
    this.list = elements.list;
    this.search = elements.search;
    this.more = elements.more;
    this.config = config;
    this.shown = shown;
    this.search.addEventListener("input", () => this.#soon(SEARCH_MS));
    this.more.addEventListener("click", () => this.#load(this.#next));
    this.#next = config.next;
    this.#current = config.room;
    this.#learn(config.rooms);
    this.more.hidden = !this.#next;
  }

  title(slug) {
    return this.#titles.get(slug);
  }

  rename(slug, title) {
    if (!title || this.#titles.get(slug) === title) return;
    this.#titles.set(slug, title);
    const name = this.#link(slug)?.querySelector("bdi");
    if (name) name.textContent = title;
  }

  mark(slug) {
    this.#current = slug;
    for (const link of this.#links()) {
      if (link.dataset.room === slug) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  showUnread(unread) {
    this.#unread = unread;
    for (const link of this.#links()) {
      const count = unread.get(link.dataset.room) ?? 0;
      const badge = link.querySelector(".badge");
      badge.hidden = !count;
      badge.replaceChildren(...(count ? [count > 99 ? "99+" : String(count), make("span", "unseen", " unread")] : []));
    }
  }

  /**
   * Reload the list: at most once in ten seconds, with a random delay so that pages do not reload
   * together, and not while the user works in the list.
   */
  refresh() {
    if (this.#isExpanded || this.search.value || this.list.contains(document.activeElement)) return;
    const due = this.#refreshedAt + REFRESH_MS * (1 + Math.random()) - performance.now();
    this.#soon(Math.max(SEARCH_MS, due));
  }

  forget() {
    clearTimeout(this.#timer);
    this.#searches = Infinity;
    this.#titles.clear();
    this.list.replaceChildren();
    this.more.hidden = true;
  }

  #soon(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#load(), ms);
  }

  async #load(after = null) {
    const number = ++this.#searches;
    const address = new URL(this.config.roomsUrl, location.href);
    if (this.search.value.trim()) address.searchParams.set("q", this.search.value.trim());
    if (after) address.searchParams.set("after", after);
    this.#refreshedAt = performance.now();
    try {
      const answer = await fetch(address);
      if (!answer.ok || number !== this.#searches) return;
      const { rooms, next } = await answer.json();
      if (number === this.#searches) this.#show(rooms, next, Boolean(after));
    } catch {
      // The list stays; it is requested again after a reconnect.
    }
  }

  #show(rooms, next, isMore) {
    this.#next = next;
    this.#learn(rooms);
    this.#isExpanded = isMore;
    if (!isMore && !this.search.value.trim()) rooms = this.#withCurrent(rooms);
    const known = new Set(isMore ? this.#links().map((link) => link.dataset.room) : []);
    const items = rooms.filter(({ slug }) => !known.has(slug)).map((room) => this.#item(room));
    if (isMore) this.list.append(...items);
    else this.list.replaceChildren(...(items.length ? items : [make("li", "none", "No room is called that.")]));
    this.more.hidden = !next;
    this.mark(this.#current);
    this.showUnread(this.#unread);
    this.shown();
  }

  // The current room may be far down the list.
  #withCurrent(rooms) {
    const [slug, title] = [this.#current, this.title(this.#current)];
    if (!title || rooms.some((room) => room.slug === slug)) return rooms;
    return [{ slug, title, href: this.config.roomUrl.replace("SLUG", encodeURIComponent(slug)) }, ...rooms];
  }

  #item({ slug, title, href }) {
    const link = make("a");
    link.href = href;
    link.dataset.room = slug;
    const name = make("span", "name");
    name.append(make("bdi", "", title));
    const badge = make("span", "badge");
    badge.hidden = true;
    link.append(name, " ", badge);
    const item = make("li");
    item.append(link);
    return item;
  }

  #learn(rooms) {
    for (const { slug, title } of rooms) this.#titles.set(slug, title);
  }

  #links() {
    return [...this.list.querySelectorAll("a")];
  }

  #link(slug) {
    return this.#links().find((link) => link.dataset.room === slug);
  }
}
