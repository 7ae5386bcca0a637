/** The chat page: connects `client.js`, which talks to the server, with one element of the page. */

import { ActionMenu } from "./actions.js";
import { Banner, button } from "./banner.js";
import { Composer } from "./composer.js";
import { confirmed } from "./confirm.js";
import { Deliveries } from "./deliveries.js";
import { Drafts } from "./drafts.js";
import { NameForm, guestToken } from "./guest.js";
import { RealtimeClient, makeNonce } from "../realtime/client.js";
import { KEEP, MessageList } from "./messages.js";
import { People } from "./people.js";
import { whyRefused } from "./refusals.js";
import { RoomView, later } from "./room.js";
import { RoomList } from "./rooms.js";
import { Roving } from "./roving.js";

class Chat {
  #config;
  #find;
  /** @type {RealtimeClient} */
  #client; // after the user is known
  #unread = new Map(); // slug → messages
  #followed = new WeakSet(); // rooms
  #renewed = new Set(); // slugs of rooms whose newest messages come: they are shown together
  #unseen = 0; // messages that came while the page was hidden

  /** `element` contains the chat; `config` is the page's configuration from the server. */
  constructor(element, config) {
    this.#config = config;
    this.#find = (id) => element.querySelector(`#${id}`);
    const $ = this.#find;
    this.drafts = new Drafts(config.userId ?? "guest");
    this.banner = new Banner($("banner"));
    this.menu = new ActionMenu($("actions"), $("confirm"), (text) => this.#tell(text));
    this.rooms = new RoomList({ list: $("room-list"), search: $("find"), more: $("more-rooms") }, config, () => this.#showUnread());
    this.people = new People({ list: $("members"), title: $("here"), count: $("count"), typing: $("typing") });
    this.list = this.#makeList();
    this.deliveries = new Deliveries(this.list, () => this.#client);
    this.composer = this.#makeComposer(new Roving($("messages"), (row) => row, "last"));
    this.view = this.#makeView();
    this.nameForm = new NameForm({ form: $("welcome"), name: $("name"), error: $("welcome-error"), composer: $("composer") }, (name) => this.#start(name));
    new Roving($("members"), (row) => row.querySelector(".more"));
    new Roving($("room-list"), (row) => row.querySelector("a"));
    this.#listenToElements();
    this.#listenToBrowser();
  }

  /** Connect as a user of the site or a returning guest, or show the form for a guest's name. */
  open() {
    if (this.#config.user || guestToken()) this.#start();
    else this.nameForm.ask();
  }

  #makeView() {
    const $ = this.#find;
    const elements = { title: $("title"), log: $("log"), top: $("top"), invite: $("invite") };
    const { list, people, composer, rooms } = this;
    return new RoomView(elements, { list, people, composer, rooms }, () => this.#client, this.#config.room);
  }

  #makeList() {
    const $ = this.#find;
    return new MessageList(
      { log: $("log"), list: $("messages"), jump: $("jump"), jumpText: $("jump-text") },
      {
        top: () => this.view.loadEarlier(),
        retry: (nonce) => this.deliveries.deliver(nonce),
        edit: (nonce) => this.composer.restore(this.#drop(nonce)),
        drop: (nonce) => this.#drop(nonce),
        menu: (anchor, message) => this.menu.ofMessage(anchor, this.#client, this.view.room, message),
      },
    );
  }

  #makeComposer(rows) {
    const $ = this.#find;
    return new Composer({ form: $("composer"), text: $("text"), length: $("length") }, this.drafts, {
      limit: () => this.#client?.limits.content_characters ?? Infinity,
      send: (content) => this.#send(content),
      typing: () => this.view.room.typing(),
      up: () => rows.focusEnd(),
      end: () => this.list.toEnd(),
    });
  }

  #tell(text, ...parts) {
    this.banner.say(text, ...parts, button("Close", () => this.banner.clear()));
  }

  // The user of the page: a user of the site, or a guest with a name

  #start(name = null) {
    this.nameForm.hide();
    this.#client?.close();
    const { url, user, userId } = this.#config;
    const token = () => (user ? null : guestToken());
    this.#client = new RealtimeClient({ url, user: userId ?? "guest:", token, name, catchUp: "newest" });
    this.#listenToClient(name);
    this.#client.connect();
    if (this.view.slug) this.#enter(this.view.slug);
    else this.view.sayOnTop("There are no rooms yet.");
  }

  // The server has refused the guest's token or name.
  #askAgain(reason) {
    if (this.#config.user) return;
    const problem = guestToken() ? "Choose a name to join again." : reason;
    guestToken(null);
    this.drafts.forget();
    this.banner.clear();
    this.nameForm.ask(problem);
  }

  #ended(code, reason, retryIn) {
    if (retryIn) later(retryIn, () => this.#client.state === "closed" && this.#client.connect());
    if (code === 4500) this.#askAgain(reason);
    else if (code === "identity_changed") this.#hideAll();
  }

  // The user whose content this page shows is not signed in any more.
  #hideAll() {
    const { user } = this.#config;
    const text = user ? `You are not signed in as ${user} any more.` : "You are signed in now, and no guest any more.";
    this.deliveries.forget();
    this.#unread.clear();
    this.rooms.forget();
    this.view.leave(text);
    this.#showUnread();
    this.banner.say(text, button("Reload", () => location.reload()));
  }

  /** @param {{ user_id: string, username: string, guest_token?: string }} frame */
  #introduce({ user_id, username, guest_token }) {
    if (guest_token) guestToken(guest_token);
    this.#find("who").textContent = username;
    const leave = this.#find("forget");
    if (leave) leave.hidden = !user_id.startsWith("guest:");
  }

  async #giveUpName() {
    const question = "Leave the chat? Your name is given up, and unsent messages are lost.";
    if (!(await confirmed(this.#find("confirm"), question, "Leave"))) return;
    this.deliveries.forget();
    this.drafts.forget();
    this.#client.close();
    guestToken(null);
    location.reload();
  }

  // Events of the client

  #listenToClient(name) {
    const client = this.#client;
    this.banner.follow(client);
    client.on("state", ({ state, code, reason, retryIn }) => {
      if (state === "closed") this.#ended(code, reason, retryIn);
      else if (state === "open") this.rooms.refresh();
    });
    client.on("welcome", (frame) => {
      this.composer.check();
      if (!name || guestToken()) this.#introduce(frame); // the token of a new guest is stored after the guest has a name
    });
    client.on("authenticated", (frame) => this.#introduce(frame));
    client.on("refused", ({ room, error }) => this.#isShown(room) && this.view.showRefusal(error));
    client.on("room", ({ room, title }) => {
      this.rooms.rename(room, title);
      if (this.#isShown(room)) this.view.showRights(client.room(room));
    });
    client.on("invited", (event) => this.#showInvited(event));
    client.on("message", (event) => this.#receive(event, true));
    client.on("reset", (event) => this.#countMissed(event));
    client.on("changed", (event) => this.#receive(event, false));
    for (const type of /** @type {const} */ (["joined", "left", "presence"])) client.on(type, ({ room }) => this.#isShown(room) && this.view.showPeople());
    client.on("typing", ({ room, user_id, username }) => this.#isShown(room) && user_id !== client.userId && this.people.typed(user_id, username));
    client.on("notice", ({ text }) => this.#tell(text));
  }

  /** @param {{ room: string, username: string, title?: string }} event */
  #showInvited({ room, title, username }) {
    const address = this.#config.roomUrl.replace("SLUG", encodeURIComponent(room));
    this.rooms.refresh();
    this.#tell(`${username} has added you to ${title || "a room of you two"}.`, button("Open", () => location.assign(address)));
  }

  #receive({ room, message, live }, isNew) {
    if (!live && this.#isHistory(room)) return;
    const isMine = message.user_id === this.#client.userId;
    if (this.#isShown(room)) {
      this.people.stopTyping(message.user_id);
      this.list.put(message, isMine);
      this.view.showTop();
    } else {
      if (isMine) this.list.settle(message.nonce, message);
      else if (isNew) this.#countUnread(room, 1);
      const other = this.#client.room(room);
      if (other.messages.length > 2 * KEEP) other.trim(KEEP);
    }
    if (isNew && live && !isMine && document.hidden) this.#unseen++;
    this.#showUnread();
  }

  #isHistory(slug) {
    return this.#renewed.has(slug) || this.#client.room(slug).state === "joining";
  }

  #countMissed({ room, missed }) {
    this.#renewed.add(room);
    if (this.#isShown(room)) return;
    this.#countUnread(room, missed ?? 0);
    this.#showUnread();
  }

  #countUnread(slug, number) {
    this.#unread.set(slug, (this.#unread.get(slug) ?? 0) + number);
  }

  // The current room

  #enter(slug) {
    this.#unread.delete(slug);
    this.#follow(this.#client.room(slug));
    this.view.enter(slug);
    this.#showUnread();
  }

  #follow(room) {
    if (this.#followed.has(room)) return;
    this.#followed.add(room);
    this.deliveries.follow(room);
    room.on("state", ({ state, isResumed }) => {
      if (state !== "live") return;
      this.#renewed.delete(room.slug);
      if (!this.#isShown(room.slug)) return;
      if (isResumed) this.view.showPeople();
      else this.view.show(room);
    });
  }

  #isShown(slug) {
    return slug === this.view.slug;
  }

  async #invite() {
    try {
      const { invitation } = await this.#client.request({ type: "invite", room: this.view.slug });
      const link = new URL(this.#config.invitationUrl.replace("TOKEN", invitation), location.href).href;
      await navigator.clipboard?.writeText(link).catch(() => {}); // the text can be copied by hand
      this.#tell(`Any user with this link may enter: ${link}`);
    } catch (error) {
      this.#tell(whyRefused(error));
    }
  }

  #send(content) {
    const nonce = makeNonce();
    const { userId: user_id, username } = this.#client;
    this.deliveries.add(nonce, this.view.slug, content);
    this.list.pend(this.view.slug, nonce, { user_id, username, content, created_at: new Date().toISOString() });
    this.view.showTop();
    this.deliveries.deliver(nonce);
  }

  #drop(nonce) {
    const content = this.deliveries.drop(nonce);
    this.view.showTop();
    return content;
  }

  // The list of rooms and the address

  #openRoom(event) {
    const link = event.target.closest("a[data-room]");
    if (!link || !this.#client || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    this.#hideRooms();
    if (this.#isShown(link.dataset.room)) return;
    history.pushState(null, "", link.href);
    this.#enter(link.dataset.room);
    if (matchMedia("(pointer: fine)").matches) this.composer.focus();
  }

  #hideRooms() {
    if (this.#find("rooms").matches(":popover-open")) this.#find("rooms").hidePopover();
  }

  #roomOfAddress() {
    const [before, after] = this.#config.roomUrl.split("SLUG");
    const path = location.pathname;
    if (!path.startsWith(before) || !path.endsWith(after)) return this.#config.room;
    return decodeURIComponent(path.slice(before.length, path.length - after.length));
  }

  #showUnread() {
    this.rooms.showUnread(this.#unread);
    this.#find("unread").hidden = ![...this.#unread.values()].some(Boolean);
    document.title = `${this.#unseen ? `(${this.#unseen}) ` : ""}${this.rooms.title(this.view.slug) ?? "Realtime chat"}`;
  }

  // Events of the page

  #listenToElements() {
    const $ = this.#find;
    $("room-list").addEventListener("click", (event) => this.#openRoom(event));
    $("members").addEventListener("click", ({ target }) => {
      if (target.dataset.act === "menu") this.menu.ofPerson(target, this.#client, this.view.room, target.closest("li").person);
    });
    $("invite").addEventListener("click", () => this.#invite());
    $("forget")?.addEventListener("click", () => this.#giveUpName());
    $("log-out")?.addEventListener("submit", () => this.deliveries.isEmpty && this.drafts.forget());
  }

  #listenToBrowser() {
    document.addEventListener("keydown", (event) => this.#keyed(event));
    addEventListener("beforeunload", (event) => this.deliveries.isEmpty || event.preventDefault());
    addEventListener("popstate", () => this.#client && this.#enter(this.#roomOfAddress()));
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#unseen = 0;
      if (!document.hidden && this.#client) this.rooms.refresh();
      this.#showUnread();
    });
  }

  #keyed(event) {
    const isFind = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
    if (isFind) {
      event.preventDefault();
      if (!this.#find("rooms").checkVisibility()) this.#find("rooms").showPopover();
      this.#find("find").focus();
      this.#find("find").select();
    } else if (event.key === "Escape" && event.target.closest?.("#messages, #find") && !event.defaultPrevented) {
      this.#hideRooms();
      this.list.toEnd();
      this.composer.focus();
    }
  }
}

// If the on-screen keyboard covers the page instead of shrinking it, it would hide the composer.
function fitViewport({ scale, height }) {
  if (scale !== 1) return;
  scrollTo(0, 0);
  document.documentElement.style.setProperty("--height", `${height}px`);
}

const viewport = globalThis.visualViewport;
viewport?.addEventListener("resize", () => fitViewport(viewport));
new Chat(document.getElementById("chat"), JSON.parse(document.getElementById("chat-config").textContent)).open();
