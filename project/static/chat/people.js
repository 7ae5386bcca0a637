/** The users in the room, and those who are typing. */

import { avatar, kindMark, make, more } from "./messages.js";

const TYPING_SECONDS = 5;

export class People {
  #typists = new Map(); // user_id → { username, until }

  /** `elements`: list, title, count, typing. */
  constructor(elements) {
    this.list = elements.list;
    this.title = elements.title;
    this.count = elements.count;
    this.typing = elements.typing;
  }

  /** Show the members of a room to the user `ownId`. */
  show(room, ownId) {
    const { members, count } = room;
    const sorted = [...members.values()].sort((a, b) => a.username.localeCompare(b.username));
    const isLarge = !members.size && count > 0; // the server sends no names in a large room
    const rows = isLarge ? [make("li", "none", "Too many to list. Only their number is shown.")] : sorted.map((member) => row(member, room, ownId));
    this.list.replaceChildren(...rows);
    this.title.textContent = `Here now · ${count}`;
    this.count.textContent = count;
  }

  clear() {
    this.list.replaceChildren();
    this.title.textContent = "Here now";
    this.count.textContent = "";
  }

  typed(userId, username) {
    this.#typists.set(userId, { username, until: performance.now() + TYPING_SECONDS * 1000 });
    this.#showTyping();
    setTimeout(() => this.#showTyping(), TYPING_SECONDS * 1000 + 50);
  }

  stopTyping(userId) {
    this.#typists.delete(userId);
    this.#showTyping();
  }

  forgetTypists() {
    this.#typists.clear();
    this.#showTyping();
  }

  #showTyping() {
    for (const [id, { until }] of this.#typists) if (until <= performance.now()) this.#typists.delete(id);
    const names = [...this.#typists].map(([id, { username }]) => (id.startsWith("guest:") ? `${username} (guest)` : username));
    this.typing.textContent = typingText(names);
  }
}

function row({ user_id, username }, room, ownId) {
  const item = make("li");
  item.append(avatar(user_id, username), make("bdi", "name", username), ...kindMark(user_id));
  if (user_id === ownId) item.append(make("span", "you", "you"));
  else if (room.may("moderate")) item.append(more("person"));
  item.person = { user_id, username };
  return item;
}

/** @param {string[]} names */
function typingText([first, second, ...others]) {
  if (others.length) return "Several people are typing…";
  if (second) return `${first} and ${second} are typing…`;
  return first ? `${first} is typing…` : "";
}
