/** The form for a message: its draft, its length, and whether it may be sent. */

import { isThere } from "./room.js";

const NEAR_LIMIT = 200; // characters that are left when the counter appears
const TYPING_SECONDS = 3;

export class Composer {
  #room = null; // its slug
  #typedAt = 0;

  /** `elements`: form, text, length; `on`: limit() in characters, send(content), typing(), up(), end(). */
  constructor(elements, drafts, on) {
    this.form = elements.form;
    this.text = elements.text;
    this.length = elements.length;
    this.drafts = drafts;
    this.on = on;
    this.button = this.form.querySelector("button");
    this.form.addEventListener("submit", (event) => this.#submit(event));
    this.text.addEventListener("input", () => this.#typed());
    this.text.addEventListener("keydown", (event) => this.#keyed(event));
  }

  /** Show the draft of a room. */
  enter(slug) {
    this.#room = slug;
    this.text.value = this.drafts.get(slug);
  }

  /** Clear the field, and keep the drafts. */
  clear() {
    this.#room = null;
    this.text.value = "";
  }

  /** Enable the form if the user may post in the room. */
  allow(room) {
    this.text.disabled = !isThere(room) || !room.may("post");
    this.text.placeholder = isThere(room) ? hint(room) : "Write a message";
    this.check();
  }

  /** Show the number of characters left; a text that is too long stays and is not sent. */
  check() {
    const limit = this.on.limit();
    const { length } = [...this.#content()];
    const over = length - limit;
    const text = over > 0 ? `${over} characters too many (${length} of ${limit}). Shorten the message to send it.` : `${length} of ${limit}`;
    const shown = over > -NEAR_LIMIT ? text : "";
    if (this.length.textContent !== shown) this.length.textContent = shown;
    this.length.classList.toggle("error", over > 0);
    if (over > 0) this.text.setAttribute("aria-invalid", "true");
    else this.text.removeAttribute("aria-invalid");
    this.button.disabled = this.text.disabled || !length || over > 0;
  }

  /** Insert an unsent message before the current text. */
  restore(content) {
    this.text.value = [content, this.text.value].filter(Boolean).join("\n");
    this.#typed();
    this.text.focus();
  }

  focus() {
    this.text.focus();
  }

  #content() {
    return this.text.value.replaceAll("\0", "").trim();
  }

  #submit(event) {
    event.preventDefault();
    const content = this.#content();
    this.check();
    if (this.button.disabled) return;
    this.text.value = "";
    this.drafts.set(this.#room, "");
    this.#typedAt = 0;
    this.check();
    this.on.send(content);
    this.text.focus();
  }

  #typed() {
    this.drafts.set(this.#room, this.text.value);
    this.check();
    if (!this.text.value || performance.now() - this.#typedAt < TYPING_SECONDS * 1000) return;
    this.#typedAt = performance.now();
    this.on.typing();
  }

  #keyed(event) {
    const isSend = event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
    if (isSend && matchMedia("(pointer: fine)").matches) this.#submit(event);
    else if (event.key === "ArrowUp" && !this.text.value && !event.isComposing) {
      event.preventDefault();
      this.on.up();
    } else if (event.key === "Escape") this.on.end();
  }
}

function hint(room) {
  const { muted, read_only, slow_seconds } = room.about;
  if (muted) return muted;
  if (!room.may("post")) return read_only ? "Only moderators write here." : "You may not write here.";
  return slow_seconds ? `Write a message, one every ${slow_seconds} seconds` : "Write a message";
}
