/** The users in a room, or subscribed to a topic that shows them. In a crowd, only their number is known. */

export class Members {
  /** By `user_id`. The map is replaced when it changes. */
  all = new Map();
  count;

  #none;

  /** `none` is the count as long as it is not known. */
  constructor(none) {
    this.count = this.#none = none;
  }

  set({ members = [], count = this.#none }) {
    this.all = new Map(members.map((member) => [member.user_id, member]));
    this.count = count;
  }

  add({ user_id, username }) {
    if (!this.all.has(user_id)) this.count++;
    this.all = new Map(this.all).set(user_id, { user_id, username, connections: 1 });
  }

  remove({ user_id }) {
    if (!this.all.has(user_id)) return;
    this.all = new Map(this.all);
    this.all.delete(user_id);
    this.count--;
  }
}
