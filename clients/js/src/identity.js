/** The one user of a client: that of the page, or of its first `welcome`. Nothing is sent as any other. */

import { ANY_GUEST, isGuest } from "./guest.js";

export class Identity {
  /** @type {string | null} */
  userId = null;
  /** @type {string | null} */
  username = null;
  /** @type {string | null} */
  guestToken = null;

  #pinned; // the only user that this client may be; `guest:` is any guest
  /** @type {string | null} */
  #named = null; // a guest who was here before keeps the name
  #hasToken = false; // the application knows the guest
  #options;
  #forget;

  /**
   * `forget()` drops all data of the last user.
   * @param {import("./types.js").ClientOptions} options
   * @param {() => void} forget
   */
  constructor({ user = null, token = null, name = null }, forget) {
    this.#pinned = user;
    this.#options = { token, name };
    this.#forget = forget;
  }

  get pinned() {
    return this.#pinned;
  }

  /** Return the token for an attempt to connect, or instead of one that is about to expire. */
  async token(reason) {
    const { token: option } = this.#options;
    const token = await (typeof option === "function" ? option(reason) : option);
    if (reason.reason !== "connect") return token;
    if (token) this.#hasToken = true;
    return token || this.guestToken;
  }

  /** Learn from a frame who the connection is. */
  learn({ user_id, username, guest_token }) {
    this.userId = user_id;
    this.username = username;
    if (guest_token) this.guestToken = guest_token;
  }

  /** Be the guest that an earlier page was. Returns its user. */
  restore({ user, token }) {
    this.guestToken = token;
    this.#named = user;
    return (this.#pinned = user);
  }

  /** The name that a new guest has still to be given, or null. */
  get wantedName() {
    const isKnown = this.#hasToken || this.#named === this.userId;
    return isKnown || !isGuest(this.userId) ? null : this.#options.name;
  }

  named() {
    this.#named = this.userId;
  }

  /** Whether the connection is the user that the page was made for; if not, all data is dropped. */
  confirm() {
    const [pinned, userId] = [this.#pinned, this.userId];
    if (!pinned || pinned === userId || (isGuest(pinned) && isGuest(userId))) {
      this.adopt();
      return true;
    }
    this.#forget();
    return false;
  }

  /** Accept the user of the connection. */
  adopt() {
    if (this.#pinned && this.#pinned !== this.userId && this.#pinned !== ANY_GUEST) this.#forget();
    this.#pinned = this.userId;
  }

  /** Accept another user from now on. */
  change(user) {
    this.#forget();
    this.#pinned = user;
  }
}
