/** The chat page: joins `client.js`, which knows the server, with what is on the screen. */

import { ActionMenu } from "./actions.js";
import { Banner, button } from "./banner.js";
import { confirmed } from "./confirm.js";
import { Drafts } from "./drafts.js";
import { RealtimeClient, makeNonce } from "../realtime/client.js";
import { KEEP, MessageList, avatar, kindMark, make, more } from "./messages.js";
import { RoomList } from "./rooms.js";
import { Roving } from "./roving.js";

const TOKEN_KEY = "realtime.guest";
const NEAR_LIMIT = 200; // characters that are left when the counter appears
const NAME_CHARACTERS = 40;
const TYPING_SECONDS = { every: 3, shown: 5 };
const REASONS = {
  closed: "Not sent.",
  expired: "Not sent for a day.",
  identity_changed: "Written under another name.",
  queue_full: "Too many messages are waiting.",
  too_large: "Too long.",
  permission_denied: "You may not write here.",
};

const $ = (id) => document.getElementById(id);
const config = JSON.parse($("chat-config").textContent);
const drafts = new Drafts(config.userId ?? "guest");
const unread = new Map();
const typists = new Map();
const waiting = new Map(); // nonce → what to send again

let client = null;
let current = config.room;
let typedAt = 0;
let isLoading = false;
let hidden = 0;
let comeBack = 0;
let voice = 0;
let held = null; // why the messages of a room wait, and until when

const list = new MessageList(
  { log: $("log"), list: $("messages"), jump: $("jump"), jumpText: $("jump-text") },
  { top: loadEarlier, retry: deliver, edit, drop, menu: (anchor, message) => menu.ofMessage(anchor, client, currentRoom(), message) },
);
const banner = new Banner($("banner"));
const menu = new ActionMenu($("actions"), $("confirm"), tell);
const rooms = new RoomList({ list: $("room-list"), search: $("find"), more: $("more-rooms") }, config, showUnread);
const rows = new Roving($("messages"), (row) => row, "last");
new Roving($("members"), (row) => row.querySelector(".more"));
new Roving($("room-list"), (row) => row.querySelector("a"));

// Who is here: a user of the site, or a guest with a name

function guestToken(value) {
  try {
    if (value === undefined) return localStorage.getItem(TOKEN_KEY);
    if (value) localStorage.setItem(TOKEN_KEY, value);
    else localStorage.removeItem(TOKEN_KEY);
  } catch {
    // Without storage a guest lasts as long as the page.
  }
  return value ?? null;
}

function start(name = null) {
  $("welcome").hidden = true;
  $("composer").hidden = false;
  client?.close();
  const user = config.userId ?? "guest:";
  client = new RealtimeClient({ url: config.url, user, token: () => (config.user ? null : guestToken()), name, catchUp: "newest" });
  listen(name);
  client.connect();
  if (current) enter(current);
  else say($("top"), "There are no rooms yet.");
}

function askName(problem = "") {
  $("composer").hidden = true;
  $("welcome").hidden = false;
  $("welcome-error").textContent = problem;
  $("welcome-error").hidden = !problem;
  $("name").focus();
}

// The guest's token is not accepted any more, or the name is not.
function askAgain(reason) {
  if (config.user) return;
  const problem = guestToken() ? "Choose a name to join again." : reason;
  guestToken(null);
  drafts.forget();
  banner.clear();
  askName(problem);
}

function ended(code, reason, retryIn) {
  if (retryIn) later(retryIn, () => client.state === "closed" && client.connect());
  if (code === 4500) askAgain(reason);
  else if (code === "identity_changed") hideAll();
}

// What this page shows belongs to somebody who is not signed in here any more.
function hideAll() {
  const text = config.user ? `You are not signed in as ${config.user} any more.` : "You are signed in now, and no guest any more.";
  waiting.clear();
  unread.clear();
  current = null;
  $("text").value = "";
  rooms.forget();
  $("title").textContent = document.title = "Realtime chat";
  showNothing(text);
  list.forget();
  showUnread();
  allowWriting();
  banner.say(text, button("Reload", () => location.reload()));
}

function introduce({ user_id, username, guest_token }) {
  if (guest_token) guestToken(guest_token);
  $("who").textContent = username;
  if ($("forget")) $("forget").hidden = !user_id.startsWith("guest:");
}

// What the client tells

function listen(name) {
  banner.follow(client);
  client.on("state", ({ state, code, reason, retryIn }) => {
    if (state === "closed") ended(code, reason, retryIn);
    else if (state === "open") rooms.refresh();
  });
  client.on("welcome", (frame) => {
    showSendable();
    if (!name || guestToken()) introduce(frame); // a new guest's token is kept once it has its name
  });
  client.on("authenticated", introduce);
  client.on("room", ({ room, resumed }) => isCurrent(room.slug) && (resumed ? showPeople() : showRoom(room)));
  client.on("refused", ({ room, code, message, retryIn }) => isCurrent(room) && showRefusal(code, message, retryIn));
  client.on("rights", ({ room }) => {
    rooms.rename(room.slug, room.about.title);
    if (isCurrent(room.slug)) showRights(room);
  });
  client.on("held", showHeld);
  client.on("invited", showInvited);
  client.on("message", (event) => receive(event, true));
  client.on("reset", ({ room, missed }) => countMissed(room, missed));
  client.on("changed", (event) => receive(event, false));
  for (const type of ["joined", "left", "presence"]) client.on(type, ({ room }) => isCurrent(room) && showPeople());
  client.on("typing", ({ room, user_id, username }) => isCurrent(room) && showTyping(user_id, username));
  client.on("notice", ({ text }) => tell(text));
}

function tell(text, ...parts) {
  banner.say(text, ...parts, button("Close", () => banner.clear()));
}

function showInvited({ room, title, username }) {
  const open = button("Open", () => location.assign(config.roomUrl.replace("SLUG", encodeURIComponent(room))));
  rooms.refresh();
  tell(`${username} has given you a place in ${title || "a room of you two"}.`, open);
}

function receive({ room, message, live }, isNew) {
  const isMine = message.user_id === client.userId;
  if (isCurrent(room)) {
    typists.delete(message.user_id);
    showTyping();
    list.put(message, isMine);
    showTop();
  } else {
    if (isMine) list.settle(message.nonce, message);
    else if (isNew) unread.set(room, (unread.get(room) ?? 0) + 1);
    if (client.rooms.get(room).messages.size > 2 * KEEP) client.rooms.get(room).trim(KEEP);
  }
  if (isNew && live && !isMine && document.hidden) hidden++;
  showUnread();
}

function countMissed(slug, missed) {
  if (isCurrent(slug)) return;
  unread.set(slug, (unread.get(slug) ?? 0) + (missed ?? 0));
  showUnread();
}

function isCurrent(slug) {
  return slug === current;
}

function currentRoom() {
  return client?.rooms.get(current);
}

// Rooms

function enter(slug) {
  current = slug;
  stopComingBack();
  typists.clear();
  unread.delete(slug);
  $("title").textContent = rooms.title(slug);
  $("text").value = drafts.get(slug);
  rooms.mark(slug);
  const known = client.rooms.get(slug);
  if (known?.epoch) showRoom(known);
  else showNothing("Loading…");
  client.join(slug).catch(() => {});
  showUnread();
  showTyping();
  allowWriting();
}

async function invite() {
  try {
    const { invitation } = await client.request({ type: "invite", room: current });
    const link = new URL(config.invitationUrl.replace("TOKEN", invitation), location.href).href;
    await navigator.clipboard?.writeText(link).catch(() => {}); // the text can be copied by hand
    tell(`Whoever has this link may come in: ${link}`);
  } catch (error) {
    tell(`That was not possible: ${error.message}.`);
  }
}

function showNothing(why, ...parts) {
  $("invite").hidden = true;
  list.clear();
  $("members").replaceChildren();
  $("here").textContent = "Here now";
  $("count").textContent = "";
  $("log").classList.add("empty");
  $("top").replaceChildren(why, ...parts);
}

// Where the refusal ends by itself, the page comes back then.
function showRefusal(code, message, retryIn) {
  const again = () => enter(current);
  const why = code === "unknown_room" ? "There is no such room." : sentence(message);
  showNothing(why, ...(code === "unknown_room" ? [] : [" ", button("Try again", again)]));
  allowWriting();
  stopComingBack();
  if (retryIn) comeBack = later(retryIn, again);
}

function stopComingBack() {
  clearTimeout(comeBack);
}

// A mute that has ended changes nothing on the server: the page asks.
function awaitVoice({ slug, about }) {
  clearTimeout(voice);
  if (!about.muted_until) return;
  const seconds = Math.max(1, (Date.parse(about.muted_until) - Date.now()) / 1000);
  voice = later(seconds, async () => {
    const room = client.rooms.get(slug);
    if (!isCurrent(slug) || !room?.joined) return;
    const reply = await client.request({ type: "join", room: slug, history: 0 }).catch(() => null);
    if (!reply || !isCurrent(slug)) return;
    room.about = reply;
    showRights(room);
  });
}

// Timers of more than 24 days end at once.
function later(seconds, act) {
  return setTimeout(act, Math.min(seconds * 1000 + 500, 2 ** 31 - 1));
}

function showRoom(room) {
  list.show(room);
  showTop();
  showRights(room);
}

function showRights(room) {
  rooms.rename(room.slug, room.about.title);
  $("title").textContent = rooms.title(room.slug);
  awaitVoice(room);
  $("invite").hidden = room.about.kind !== "private" || !room.may("moderate");
  showPeople();
  allowWriting();
}

function showTop() {
  const room = currentRoom();
  if (isLoading) say($("top"), "Loading…");
  else if (list.isEmpty) say($("top"), "No messages yet. Say hello.");
  else say($("top"), room?.hasMore ? "" : `The beginning of ${rooms.title(current)}`);
  $("log").classList.toggle("empty", list.isEmpty);
  if (room?.hasMore && $("log").scrollHeight <= $("log").clientHeight) loadEarlier();
}

async function loadEarlier() {
  const room = currentRoom();
  if (isLoading || !room?.joined || !room.hasMore) return;
  isLoading = true;
  showTop();
  try {
    const { messages } = await client.history(room.slug);
    if (isCurrent(room.slug)) list.prepend(messages.map(({ id }) => room.messages.get(id)).filter(Boolean));
  } catch {
    // Scrolling again asks again.
  }
  isLoading = false;
  showTop();
}

function openRoom(event) {
  const link = event.target.closest("a[data-room]");
  if (!link || !client || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  if ($("rooms").matches(":popover-open")) $("rooms").hidePopover();
  if (isCurrent(link.dataset.room)) return;
  history.pushState(null, "", link.href);
  enter(link.dataset.room);
  if (matchMedia("(pointer: fine)").matches) $("text").focus();
}

function roomOfAddress() {
  const [before, after] = config.roomUrl.split("SLUG");
  const path = location.pathname;
  if (!path.startsWith(before) || !path.endsWith(after)) return config.room;
  return decodeURIComponent(path.slice(before.length, path.length - after.length));
}

function showUnread() {
  rooms.showUnread(unread);
  $("unread").hidden = ![...unread.values()].some(Boolean);
  document.title = `${hidden ? `(${hidden}) ` : ""}${rooms.title(current) ?? "Realtime chat"}`;
}

// People

function showPeople() {
  const { members, count } = currentRoom();
  const sorted = [...members.values()].sort((a, b) => a.username.localeCompare(b.username));
  const isLarge = !members.size && count > 0; // the server names nobody in a large room
  $("members").replaceChildren(...(isLarge ? [make("li", "none", "Too many to list. Only their number is shown.")] : sorted.map(person)));
  $("here").textContent = `Here now · ${count}`;
  $("count").textContent = count;
}

function person({ user_id, username }) {
  const item = make("li");
  item.append(avatar(user_id, username), make("bdi", "name", username), ...kindMark(user_id));
  if (user_id === client.userId) item.append(make("span", "you", "you"));
  else if (currentRoom().may("moderate")) item.append(more("person"));
  item.person = { user_id, username };
  return item;
}

function showTyping(userId, username) {
  if (userId && userId !== client.userId) typists.set(userId, { username, until: performance.now() + TYPING_SECONDS.shown * 1000 });
  for (const [id, { until }] of typists) if (until <= performance.now()) typists.delete(id);
  const names = [...typists].map(([id, { username }]) => (id.startsWith("guest:") ? `${username} (guest)` : username));
  $("typing").textContent = typingText(names);
  if (userId) setTimeout(showTyping, TYPING_SECONDS.shown * 1000 + 50);
}

function typingText([first, second, ...more]) {
  if (more.length) return "Several people are typing…";
  if (second) return `${first} and ${second} are typing…`;
  return first ? `${first} is typing…` : "";
}

// Writing

function allowWriting() {
  const room = currentRoom();
  $("text").disabled = !room?.epoch || !room.may("post");
  $("text").placeholder = room?.epoch ? writingHint(room) : "Write a message";
  showSendable();
}

function writingHint(room) {
  const { muted, read_only, slow_seconds } = room.about;
  if (muted) return sentence(muted);
  if (!room.may("post")) return read_only ? "Only moderators write here." : "You may not write here.";
  return slow_seconds ? `Write a message, one every ${slow_seconds} seconds` : "Write a message";
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function written() {
  return $("text").value.replaceAll("\0", "").trim();
}

// What is too long is kept, counted and not sent.
function showSendable() {
  const limit = client?.limits.content_characters ?? Infinity;
  const { length } = [...written()];
  const over = length - limit;
  const text = over > 0 ? `${over} characters too many (${length} of ${limit}). Shorten the message to send it.` : `${length} of ${limit}`;
  say($("length"), over > -NEAR_LIMIT ? text : "");
  $("length").classList.toggle("error", over > 0);
  mark($("text"), "aria-invalid", over > 0 && "true");
  $("composer").querySelector("button").disabled = $("text").disabled || !length || over > 0;
}

function submit(event) {
  event.preventDefault();
  const content = written();
  showSendable();
  if ($("composer").querySelector("button").disabled) return;
  const nonce = makeNonce();
  const created_at = new Date().toISOString();
  waiting.set(nonce, { room: current, content });
  list.pend(current, nonce, { user_id: client.userId, username: client.username, content, created_at });
  $("text").value = "";
  drafts.set(current, "");
  typedAt = 0;
  showTop();
  showSendable();
  deliver(nonce);
  $("text").focus();
}

async function deliver(nonce) {
  const { room, content } = waiting.get(nonce);
  list.retry(nonce);
  tellHeld();
  try {
    list.settle(nonce, await client.send(room, content, { nonce }));
    waiting.delete(nonce);
  } catch (error) {
    list.fail(nonce, REASONS[error.code] ?? sentence(error.message), error.code === "too_large" ? "edit" : "retry");
  }
}

// Why the messages of this room wait, and for how long.

function showHeld({ room, code, retryIn }) {
  held = { room, code, until: performance.now() + retryIn * 1000 };
  tellHeld();
}

function tellHeld() {
  if (!held) return;
  const [first, ...others] = list.waiting(held.room);
  const left = Math.ceil((held.until - performance.now()) / 1000);
  if (!first || left <= 0) {
    if (first) list.wait(first, "Sending…");
    held = null;
    return;
  }
  list.wait(first, heldText(held, left));
  for (const nonce of others) list.wait(nonce, "Waits for the message above.");
  clearTimeout(held.timer);
  held.timer = setTimeout(tellHeld, 1000);
}

function heldText({ room, code }, left) {
  const slow = client.rooms.get(room)?.about.slow_seconds;
  if (code !== "rate_limited") return `The server cannot store messages now. Next attempt in ${left} s.`;
  return slow ? `Slow mode: one message every ${slow} s. This one is sent in ${left} s.` : `Too many messages. This one is sent in ${left} s.`;
}

// Back into the composer.
function edit(nonce) {
  const { content } = waiting.get(nonce);
  drop(nonce);
  $("text").value = [content, $("text").value].filter(Boolean).join("\n");
  typed();
  $("text").focus();
}

function drop(nonce) {
  waiting.delete(nonce);
  list.drop(nonce);
  showTop();
}

function typed() {
  drafts.set(current, $("text").value);
  showSendable();
  if (!$("text").value || performance.now() - typedAt < TYPING_SECONDS.every * 1000) return;
  typedAt = performance.now();
  client.typing(current);
}

function keyed(event) {
  const isSend = event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
  if (isSend && matchMedia("(pointer: fine)").matches) submit(event);
  else if (event.key === "ArrowUp" && !$("text").value && !event.isComposing) {
    event.preventDefault();
    rows.focusEnd();
  } else if (event.key === "Escape") list.toEnd();
}

function keyedAnywhere(event) {
  const isFind = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey;
  if (isFind) {
    event.preventDefault();
    if (!$("rooms").checkVisibility()) $("rooms").showPopover();
    $("find").focus();
    $("find").select();
  } else if (event.key === "Escape" && event.target.closest?.("#messages, #find") && !event.defaultPrevented) {
    if ($("rooms").matches(":popover-open")) $("rooms").hidePopover();
    list.toEnd();
    $("text").focus();
  }
}

// Small things

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function mark(element, name, value) {
  if (value) element.setAttribute(name, value);
  else element.removeAttribute(name);
}

// Where the keyboard covers the page instead of shrinking it, the composer would be below it.
function fitViewport() {
  if (visualViewport.scale !== 1) return;
  scrollTo(0, 0);
  document.documentElement.style.setProperty("--height", `${visualViewport.height}px`);
}

$("room-list").addEventListener("click", openRoom);
$("members").addEventListener("click", ({ target }) => {
  if (target.dataset.act === "menu") menu.ofPerson(target, client, currentRoom(), target.closest("li").person);
});
$("invite").addEventListener("click", invite);
$("composer").addEventListener("submit", submit);
$("text").addEventListener("input", typed);
$("text").addEventListener("keydown", keyed);
$("forget")?.addEventListener("click", async () => {
  if (!(await confirmed($("confirm"), "Leave the chat? Your name is given up, and unsent messages are lost.", "Leave"))) return;
  waiting.clear();
  drafts.forget();
  client.close();
  guestToken(null);
  location.reload();
});
$("welcome").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("name").value.trim();
  if ([...name].length > NAME_CHARACTERS) askName(`A name has at most ${NAME_CHARACTERS} characters.`);
  else if (name) start(name);
});
$("log-out")?.addEventListener("submit", () => waiting.size || drafts.forget());
document.addEventListener("keydown", keyedAnywhere);
addEventListener("beforeunload", (event) => waiting.size && event.preventDefault());
addEventListener("popstate", () => client && enter(roomOfAddress()));
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) hidden = 0;
  if (!document.hidden && client) rooms.refresh();
  showUnread();
});
globalThis.visualViewport?.addEventListener("resize", fitViewport);

if (config.user || guestToken()) start();
else askName();
