/**
 * The list of messages: grouped by author, divided by day, in the order of the room's log, with
 * unsent messages at its end. Text nodes only.
 */

const NEAR = 48; // px from the end that still count as being there
const GROUP_MS = 5 * 60_000;
export const KEEP = 300;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

export function avatar(userId, username) {
  const element = make("span", "avatar", [...username.trim()][0]?.toUpperCase() ?? "?");
  const hash = [...userId].reduce((sum, character) => (sum * 31 + character.codePointAt(0)) % 9973, 7);
  element.style.setProperty("--hue", (hash * 137) % 360); // neighbouring ids differ in colour
  element.ariaHidden = "true";
  return element;
}

/** The mark of a guest: a word, so that a screen reader reads it. */
export function kindMark(userId) {
  const [, kind] = /^(guest|site):/.exec(userId) ?? [];
  return kind ? [" ", make("span", "kind", kind)] : [];
}

/** The button that opens the menu of actions. */
export function more(what) {
  const button = make("button", "more", "⋯");
  button.type = "button";
  button.dataset.act = "menu";
  if (what === "message") button.tabIndex = -1; // Enter on its row opens it
  button.ariaLabel = `Actions for this ${what}`;
  return button;
}

export class MessageList {
  /** @type {ReturnType<import("../realtime/client.js").RealtimeClient["room"]> | null} */
  #room = null;
  #items = new Map(); // id → li
  #pending = new Map(); // nonce → {room, li}
  #isAtEnd = true;
  #top = 0;
  #missed = 0;

  /** `elements`: log, list, jump, jumpText; `on`: top(), retry(nonce), edit(nonce), drop(nonce), menu(button, message). */
  constructor(elements, on) {
    this.log = elements.log;
    this.list = elements.list;
    this.jump = elements.jump;
    this.jumpText = elements.jumpText;
    this.on = on;
    this.log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.jump.addEventListener("click", () => this.toEnd());
    this.list.addEventListener("click", (event) => this.#clicked(event));
    this.list.addEventListener("keydown", (event) => this.#keyed(event));
    const resized = new ResizeObserver(() => this.#isAtEnd && this.toEnd());
    resized.observe(this.log);
    resized.observe(this.list);
  }

  /** Show another room, or the same one from the start. */
  show(room) {
    this.#room = room;
    this.#items.clear();
    this.#quietly(() => {
      const rows = room.messages.map((message) => this.#row(message));
      for (const { room: slug, li } of this.#pending.values()) if (slug === room.slug) rows.push(li);
      this.list.replaceChildren(...rows);
      rows.forEach((li) => this.#decorate(li));
    });
    this.toEnd();
  }

  clear() {
    this.#room = null;
    this.list.replaceChildren();
  }

  /** Drop all messages, sent or not, because another user may follow. */
  forget() {
    this.clear();
    this.#items.clear();
    this.#pending.clear();
  }

  get isEmpty() {
    return !this.list.childElementCount;
  }

  /** Show a new message, or the new state of a known one. */
  put(message, isMine) {
    const sent = isMine && this.#pending.get(message.nonce);
    const li = this.#items.get(message.id) ?? sent?.li ?? make("li");
    if (sent) this.#pending.delete(message.nonce);
    const isNew = !li.isConnected;
    this.#fill(li, message);
    this.#place(li);
    if (isNew && !isMine) this.#missed += this.#isAtEnd ? 0 : 1;
    if (this.#isAtEnd) this.#trim();
    this.#tell();
  }

  /** Show a message of this user at the end, until the server has given it a position. */
  pend(room, nonce, message) {
    const li = this.#fill(make("li"), { ...message, seq: Infinity });
    this.#pending.set(nonce, { room, li });
    li.dataset.nonce = nonce;
    this.retry(nonce);
    if (room !== this.#room?.slug) return;
    this.#place(li);
    this.toEnd();
  }

  retry(nonce) {
    const { li } = this.#pending.get(nonce);
    li.classList.remove("failed");
    li.classList.add("pending");
    this.wait(nonce, "Sending…");
  }

  /** Show why a message is not sent yet. */
  wait(nonce, text) {
    this.#pending.get(nonce)?.li.querySelector(".fate").replaceChildren(text);
  }

  /** Return the unsent messages of a room, in order. */
  waiting(slug) {
    const found = [...this.#pending].filter(([, { room, li }]) => room === slug && li.classList.contains("pending"));
    return found.map(([nonce]) => nonce);
  }

  /** Replace an unsent message by the stored one. */
  settle(nonce, ack) {
    const sent = this.#pending.get(nonce);
    if (!sent) return;
    this.#pending.delete(nonce);
    if (!sent.li.isConnected) return;
    if (this.#items.has(ack.id)) return sent.li.remove();
    const { seq, id, created_at } = ack;
    this.#fill(sent.li, { ...sent.li.message, seq, id, created_at });
    this.#place(sent.li);
  }

  /** `act` is the action besides deleting: retry or edit. */
  fail(nonce, reason, act = "retry") {
    const li = this.#pending.get(nonce)?.li;
    if (!li) return;
    li.classList.replace("pending", "failed");
    const retry = make("button", "quiet", act === "edit" ? "Edit" : "Retry");
    const drop = make("button", "quiet", "Delete");
    retry.dataset.act = act;
    drop.dataset.act = "drop";
    li.querySelector(".fate").replaceChildren(`${reason} `, retry, " ", drop);
    if (this.#isAtEnd) this.toEnd();
  }

  drop(nonce) {
    const { li } = this.#pending.get(nonce);
    const next = li.nextElementSibling;
    this.#pending.delete(nonce);
    li.remove();
    if (next) this.#decorate(next);
  }

  /** Insert earlier messages without moving the visible ones. */
  prepend(messages) {
    const fresh = messages.filter(({ id }) => !this.#items.has(id));
    const below = this.log.scrollHeight - this.log.scrollTop;
    this.#quietly(() => {
      const first = this.list.firstElementChild;
      const rows = fresh.map((message) => this.#row(message));
      this.list.prepend(...rows);
      rows.forEach((li) => this.#decorate(li));
      if (first) this.#decorate(first);
    });
    this.#scrollTo(this.log.scrollHeight - below);
  }

  toEnd() {
    this.#isAtEnd = true;
    this.#missed = 0;
    this.#scrollTo(this.log.scrollHeight);
    this.#tell();
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.log;
    // The event comes late, and messages may have been added since: only users scroll up.
    if (scrollHeight - scrollTop - clientHeight < NEAR) this.#isAtEnd = true;
    else if (scrollTop < this.#top) this.#isAtEnd = false;
    this.#top = scrollTop;
    if (this.#isAtEnd) this.#missed = 0;
    this.#tell();
    if (scrollTop < clientHeight / 2) this.on.top();
  }

  #scrollTo(top) {
    this.log.scrollTop = top;
    this.#top = this.log.scrollTop;
  }

  #tell() {
    this.jump.hidden = this.#isAtEnd;
    this.jumpText.textContent = this.#missed ? `${this.#missed} new` : "Latest";
  }

  #clicked(event) {
    const { act } = event.target.dataset;
    const li = event.target.closest("li");
    if (act === "menu") this.on.menu(event.target, li.message);
    else if (act) this.on[act](li?.dataset.nonce);
  }

  #keyed(event) {
    const li = event.target.closest("li");
    const isMenu = event.key === "Enter" || event.key === "ContextMenu" || (event.key === "F10" && event.shiftKey);
    const button = li === event.target && isMenu && li.querySelector(".more");
    if (!button) return;
    event.preventDefault();
    this.on.menu(button, li.message);
  }

  // A screen reader should not announce existing messages.
  #quietly(change) {
    this.log.ariaLive = "off";
    change();
    setTimeout(() => (this.log.ariaLive = "polite"), 100);
  }

  #trim() {
    if (this.list.childElementCount < KEEP * 1.5 || !this.#room) return;
    this.#room.trim(KEEP);
    for (const [id, li] of this.#items) {
      if (this.#room.message(id)) continue;
      li.remove();
      this.#items.delete(id);
    }
    if (this.list.firstElementChild) this.#decorate(this.list.firstElementChild);
    this.#scrollTo(this.log.scrollHeight);
  }

  #row(message) {
    return this.#fill(make("li"), message);
  }

  #fill(li, message) {
    li.message = message;
    li.className = message.deleted ? "message deleted" : "message";
    li.classList.toggle("edited", Boolean(message.edited_at));
    delete li.dataset.nonce;
    if (message.id !== undefined) {
      this.#items.set(message.id, li);
      li.dataset.messageId = message.id;
    }
    const sent = new Date(message.created_at);
    const time = make("time", "", clock.format(sent));
    time.dateTime = message.created_at;
    time.title = full.format(sent);
    const author = make("bdi", "author", message.username);
    const text = make("p", "text", message.deleted ? "This message was deleted." : message.content);
    text.dir = "auto";
    const head = make("div", "head");
    head.append(author, ...kindMark(message.user_id), " ", time);
    const body = make("div", "body");
    body.append(head, text, make("span", "fate"));
    li.replaceChildren(avatar(message.user_id, message.username), body);
    if (message.id !== undefined && !message.deleted) li.append(more("message"));
    return li;
  }

  #place(li) {
    const { seq } = li.message;
    const { previousElementSibling: above, nextElementSibling: below } = li;
    const isPlaced = li.isConnected && !(above?.message.seq > seq) && !(below?.message.seq < seq);
    if (!isPlaced) {
      let last = this.list.lastElementChild;
      while (last && (last === li || last.message.seq > seq)) last = last.previousElementSibling;
      if (last) last.after(li);
      else this.list.prepend(li);
    }
    for (const row of [li, below, li.nextElementSibling]) if (row) this.#decorate(row);
  }

  /** Consecutive messages of one user on one day share their heading. */
  #decorate(li) {
    const last = li.previousElementSibling?.message;
    const { user_id, created_at } = li.message;
    const sent = new Date(created_at);
    const sameDay = last && new Date(last.created_at).toDateString() === sent.toDateString();
    if (sameDay) delete li.dataset.day;
    else li.dataset.day = dayName(sent);
    const start = li.previousElementSibling?.groupStart;
    const together = sameDay && last.user_id === user_id && sent.getTime() - start < GROUP_MS;
    li.groupStart = together ? start : sent;
    li.classList.toggle("grouped", Boolean(together));
  }
}

function dayName(date) {
  const midnight = (moment) => new Date(moment).setHours(0, 0, 0, 0);
  const days = Math.round((midnight(date) - midnight(Date.now())) / 86_400_000);
  const name = days > -2 && days < 1 ? relative.format(days, "day") : day.format(date);
  return name.charAt(0).toUpperCase() + name.slice(1);
}
