/** The strip that shows the state of the connection, and notices. */

import { make } from "./messages.js";

const GOOD_NEWS_SECONDS = 3;

export class Banner {
  #wasOpen = false;
  #hasTrouble = false;
  #countdown = 0;
  #why = "";

  constructor(element) {
    this.element = element;
  }

  follow(client) {
    client.on("state", (change) => this.#changed(client, change));
  }

  /** Show a text and elements after it. */
  say(text, ...parts) {
    const [shown] = this.element.children;
    const isSame = shown?.dataset.text === text && shown.childElementCount === parts.length;
    if (isSame) return parts.forEach((part, index) => refresh(shown.children[index], part));
    const strip = make("div", "strip");
    strip.dataset.text = text;
    strip.append(text, ...parts);
    this.element.replaceChildren(strip);
  }

  clear() {
    this.element.replaceChildren();
  }

  #changed(client, { state, code, reason }) {
    clearInterval(this.#countdown);
    if (state === "open") this.#restored();
    else if (state === "waiting") this.#lost(client, code >= 4000 ? reason : "");
    else if (state === "connecting" && this.#hasTrouble) this.say("Reconnecting…");
    else if (state === "closed" && code !== 1000 && code !== "identity_changed") this.#ended(client, reason);
  }

  #lost(client, why) {
    this.#hasTrouble = true;
    this.#why = why; // the server's own words
    this.#count(client);
    this.#countdown = setInterval(() => this.#count(client), 250);
  }

  #count(client) {
    const left = Math.max(1, Math.ceil((client.retryAt - Date.now()) / 1000));
    const seconds = make("span", "", ` Reconnecting in ${left} s.`);
    seconds.ariaHidden = "true"; // otherwise a screen reader would read each second
    this.say(this.#trouble(), seconds, button("Try now", () => client.connect()));
  }

  #trouble() {
    if (navigator.onLine === false) return "You are offline.";
    return this.#wasOpen ? this.#why || "Connection lost." : "The server cannot be reached.";
  }

  #restored() {
    this.clear();
    if (this.#hasTrouble && this.#wasOpen) this.#tellGoodNews();
    this.#hasTrouble = false;
    this.#wasOpen = true;
  }

  #tellGoodNews() {
    this.say("Connected again.");
    const strip = this.element.firstElementChild;
    strip.classList.add("good");
    setTimeout(() => strip.remove(), GOOD_NEWS_SECONDS * 1000);
  }

  #ended(client, reason) {
    this.#hasTrouble = true;
    this.say(reason || "The server ended the connection.", button("Connect again", () => client.connect()));
  }
}

export function button(text, act) {
  const element = make("button", "quiet", text);
  element.type = "button";
  element.addEventListener("click", act);
  return element;
}

// Replacing a button four times a second would make it impossible to press.
function refresh(shown, part) {
  if (shown.tagName !== "BUTTON") shown.textContent = part.textContent;
}
