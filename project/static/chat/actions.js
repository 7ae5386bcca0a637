/** What can be done about a message or a person: one small menu, with what this user may. */

import { make } from "./messages.js";

const TEN_MINUTES = 600;
const A_DAY = 86_400;

export class ActionMenu {
  /** `element` is a `popover`; `tell` shows a text. */
  constructor(element, tell) {
    this.element = element;
    this.tell = tell;
  }

  /** Open it at a button that belongs to a message. */
  ofMessage(anchor, client, room, message) {
    const isMine = message.user_id === client.userId;
    const actions = [];
    if (isMine || room.may("moderate")) actions.push(["Delete message", { type: "delete", id: message.id }]);
    if (!isMine) actions.push(["Report message", { type: "report", id: message.id }, "Thank you. A moderator will look at it."]);
    if (!isMine && room.may("moderate")) actions.push(...ofPerson(message));
    this.#open(anchor, client, room, actions);
  }

  /** Open it at a button that belongs to somebody who is here. */
  ofPerson(anchor, client, room, person) {
    this.#open(anchor, client, room, ofPerson(person));
  }

  #open(anchor, client, room, actions) {
    const items = actions.map(([label, command, done]) => {
      const item = make("button", "", label);
      item.type = "button";
      item.addEventListener("click", () => this.#act(client, { ...command, room: room.slug }, done));
      const row = make("li");
      row.append(item);
      return row;
    });
    this.element.replaceChildren(...items);
    this.element.showPopover();
    this.#place(anchor.getBoundingClientRect());
    items[0]?.firstChild.focus();
  }

  // Beside its button, and within the window.
  #place({ right, bottom, top }) {
    const { offsetWidth, offsetHeight, style } = this.element;
    const isBelow = bottom + offsetHeight < innerHeight;
    style.left = `${Math.max(8, Math.min(right - offsetWidth, innerWidth - offsetWidth - 8))}px`;
    style.top = `${Math.max(8, isBelow ? bottom : top - offsetHeight)}px`;
  }

  async #act(client, command, done) {
    this.element.hidePopover();
    try {
      await client.request(command);
      if (done) this.tell(done);
    } catch (error) {
      this.tell(`That was not possible: ${error.message}.`);
    }
  }
}

function ofPerson({ user_id, username }) {
  return [
    ["Mute for 10 minutes", { type: "mute", user_id, seconds: TEN_MINUTES }, `${username} may only listen for ten minutes.`],
    ["Kick", { type: "kick", user_id }, `${username} is out.`],
    ["Ban for a day", { type: "ban", user_id, seconds: A_DAY, address: true }, `${username} is banned for a day.`],
  ];
}
