/** The menu of actions on a message or a user, with those that this user may do. */

import { confirmed } from "./confirm.js";
import { make } from "./messages.js";
import { whyRefused } from "./refusals.js";

const TEN_MINUTES = 600;
const A_DAY = 86_400;

export class ActionMenu {
  /** `element` is a `popover`, `dialog` confirms; `tell` shows a text. */
  constructor(element, dialog, tell) {
    this.element = element;
    this.dialog = dialog;
    this.tell = tell;
  }

  /** Open the menu at the button of a message. */
  ofMessage(anchor, client, room, message) {
    const isMine = message.user_id === client.userId;
    const actions = [];
    if (isMine || room.may("moderate")) actions.push(["Delete message", { type: "delete", id: message.id }, "", "Delete this message for everybody? It cannot be brought back.", "Delete"]);
    if (!isMine) actions.push(["Report message", { type: "report", id: message.id }, "Thank you. A moderator will look at it."]);
    if (!isMine && room.may("moderate")) actions.push(...ofPerson(message));
    this.#open(anchor, client, room, actions);
  }

  /** Open the menu at the button of a user in the room. */
  ofPerson(anchor, client, room, person) {
    this.#open(anchor, client, room, ofPerson(person));
  }

  #open(anchor, client, room, actions) {
    const items = actions.map(([label, command, done, question, act]) => {
      const item = make("button", "", label);
      item.type = "button";
      item.addEventListener("click", () => this.#act(client, { ...command, room: room.slug }, done, question, act));
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

  async #act(client, command, done, question, act) {
    this.element.hidePopover();
    if (question && !(await confirmed(this.dialog, question, act))) return;
    try {
      await client.request(command);
      if (done) this.tell(done);
    } catch (error) {
      this.tell(whyRefused(error));
    }
  }
}

function ofPerson({ user_id, username }) {
  return [
    ["Mute for 10 minutes", { type: "mute", user_id, seconds: TEN_MINUTES }, `${username} may only listen for ten minutes.`],
    ["Kick", { type: "kick", user_id }, `${username} was removed.`, `Remove ${username} from this room?`, "Kick"],
    [
      "Ban for a day",
      { type: "ban", user_id, seconds: A_DAY, address: true },
      `${username} is banned for a day.`,
      `Ban ${username}, and everybody at the same address, from this room for a day?`,
      "Ban",
    ],
  ];
}
