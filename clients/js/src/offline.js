/**
 * Keeps waiting messages, and the newest messages of rooms, over a reload: the storage of a client in IndexedDB.
 * A message is sent by the page that wrote it. If that page is gone, another page of the same user adopts it.
 * Sending twice is harmless, as the server stores a nonce once. docs/offline.md
 */

import { Database } from "./database.js";
import { ANY_GUEST, isGuest } from "./guest.js";
import { KeptRooms } from "./kept_rooms.js";
import { isGone, holdPage } from "./page_lock.js";

/** @import { Row, Storage } from "./transport.js" */

const UNAUTHENTICATED = 4500;
const DAY_MS = 86_400_000;
const OPEN_SECONDS = 2; // some browsers never answer
const LOOK_SECONDS = 30;
const MOST_ROWS = 500;
const MOST_MESSAGES = 100; // of a kept room
const GUEST_KEY = "realtime:guest:"; // and the address of the socket

const isText = (value) => typeof value === "string";
const isIntact = ({ room, content, data, order, at }) =>
  isText(room) && isText(content) && Number.isFinite(order) && Number.isFinite(at) && (data === undefined || typeof data === "object");
const makeId = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

/**
 * The option `offline` of a client. `keep`: how many of the newest messages of each joined room a reload shows at once.
 * `guests`: keep those of guests too, who stay the same guest as long as the tab is open.
 * @returns {Storage}
 */
export function offline({ keep = 0, guests = false } = {}) {
  return new Offline(Math.min(keep, MOST_MESSAGES), guests);
}

/** @implements {Storage} */
class Offline {
  #keep;
  #hasGuests;
  /** @type {any} */
  #host;
  /** @type {string | null} */
  #user = null;
  #page; // the random id of this page
  /** @type {any} */
  #database = null; // while open
  #rooms;
  #closing;
  #stop = () => {};

  constructor(keep, hasGuests) {
    this.#keep = keep;
    this.#hasGuests = hasGuests;
  }

  async open(host) {
    const { clock } = (this.#host = host);
    const guest = this.#hasGuests && host.user === ANY_GUEST && recall(host.url);
    const user = (this.#user = guest ? guest.user : host.user);
    if (!this.#isKept(user)) return { rows: [], rooms: [] };
    this.#page = makeId();
    this.#closing = new AbortController();
    this.#database = this.#makeDatabase();
    this.#rooms = new KeptRooms(this.#keep, { user, clock, write: (...write) => this.#database?.run(...write) });
    holdPage(this.#page, this.#closing.signal);
    this.#lookLater();
    const kept = await this.#inTime(this.#read());
    return guest ? { ...kept, guest } : kept;
  }

  moved({ state, code }, { userId: user, guestToken: token }) {
    if (isGuest(user) && token && state === "open") this.#keepGuest({ user, token });
    if (code === UNAUTHENTICATED) this.#keepGuest(null);
    if (this.#database && state === "open") this.#look();
  }

  /** @param {Row} row */
  added({ nonce, room, content, data, order, at }) {
    if (!this.#database) return; // the client adds it again when the storage is open
    const { url, stored } = this.#host;
    const row = { v: 1, nonce, user: this.#user, owner: this.#page, url, room, content, data, order, at };
    this.#database.run((outbox) => putIfRoom(outbox, row)).then((isStored) => isStored && stored(nonce));
  }

  acknowledged(nonce) {
    this.#database?.run((outbox) => void outbox.delete(nonce));
  }

  failed(nonce, code) {
    this.#edit(nonce, (row) => ({ ...row, code }));
  }

  // A page that comes back may have the message in memory, so its nonce is remembered.
  discarded(nonce) {
    this.#edit(nonce, ({ user, url, at }) => ({ v: 1, nonce, user, url, at, isDiscarded: true }));
  }

  changed(room) {
    if (this.#keep && this.#database) this.#rooms.changed(room);
  }

  close() {
    if (!this.#database) return;
    this.#rooms.flush();
    this.#closing.abort();
    this.#stop();
    this.#database.close();
    this.#database = null;
  }

  async forget(user = this.#user) {
    this.close();
    const guests = this.#hasGuests && isGuest(user) ? forgetGuests(this.#host?.url) : [];
    const users = [user, ...guests].filter((one) => this.#isKept(one));
    if (!users.length) return;
    const database = this.#makeDatabase();
    const remove = (store) => users.forEach((one) => removeAll(store, "user", IDBKeyRange.only(one)));
    await database.run((...stores) => stores.forEach(remove));
    database.close();
  }

  #keepGuest(guest) {
    if (!this.#hasGuests || !this.#host) return;
    try {
      sessionStorage.setItem(GUEST_KEY + this.#host.url, JSON.stringify(guest));
    } catch {
      // a page without this storage: a reload makes another guest
    }
  }

  #isKept(user) {
    return user && (!isGuest(user) || (this.#hasGuests && user !== ANY_GUEST));
  }

  #makeDatabase() {
    return new Database((cause) => this.#host?.failed(cause));
  }

  #edit(nonce, change) {
    this.#database?.run((outbox) => {
      outbox.get(nonce).onsuccess = ({ target: { result } }) => result && outbox.put(change(result));
    });
  }

  // Read and adopt

  // The first connection waits for it, but not for ever.
  async #inTime(reading) {
    const { clock, adopt } = this.#host;
    let isLate = false;
    const late = new Promise((resolve) => {
      const stop = clock.after(OPEN_SECONDS, () => resolve((isLate = true)));
      reading.then(stop);
    });
    const kept = await Promise.race([reading, late]);
    if (!isLate) return kept;
    reading.then(({ rows }) => adopt(rows));
    return { rows: [], rooms: [] };
  }

  async #read() {
    const { signal } = this.#closing;
    const rooms = await this.#rooms.read();
    return { rows: await this.#adopt(signal), rooms };
  }

  // Nothing once the signal has aborted: what is taken then would be lost for the next opening.
  async #adopt(signal) {
    if (signal.aborted) return [];
    const owners = (await this.#database.run((outbox) => this.#listOwners(outbox), "readonly")) || [];
    const take = (owner, least) => (signal.aborted ? [] : this.#take(owner, least));
    const taken = await Promise.all([...owners].map((owner) => isGone(owner, (least) => take(owner, least))));
    return taken.flat().sort((one, other) => one.order - other.order || one.at - other.at);
  }

  #listOwners(outbox) {
    const all = outbox.index("user").getAll(this.#user);
    return () => new Set(all.result.map(({ owner }) => owner).filter((owner) => owner !== this.#page));
  }

  // The rows of a page become those of this one; what cannot be a row is deleted. `least`: their age in ms.
  async #take(owner, least) {
    const { url, clock } = this.#host;
    const [user, page] = [this.#user, this.#page];
    const latest = (clock.serverNow() || clock.wallAt(clock.now())) - least;
    const taken = [];
    await this.#database.run((outbox) => {
      outbox.index("user").getAll(user).onsuccess = ({ target: { result } }) => {
        for (const row of result) {
          if (row.owner !== owner || row.url !== url || row.at > latest) continue;
          taken.push(row);
          if (!row.isDiscarded) isIntact(row) ? outbox.put({ ...row, owner: page }) : outbox.delete(row.nonce);
        }
      };
    });
    return taken.filter((row) => row.isDiscarded || isIntact(row));
  }

  #lookLater() {
    this.#stop();
    this.#stop = this.#host.clock.after(LOOK_SECONDS, () => this.#look());
  }

  async #look() {
    const { clock, adopt } = this.#host;
    const { signal } = this.#closing;
    this.#sweep(clock.serverNow());
    const rows = await this.#adopt(signal);
    if (signal.aborted) return;
    if (rows.length) adopt(rows);
    this.#lookLater();
  }

  // By the server's time alone: this machine's clock may be wrong by any amount.
  #sweep(now) {
    if (now) this.#database.run((...stores) => stores.forEach((store) => removeAll(store, "at", IDBKeyRange.upperBound(now - DAY_MS))));
  }
}

// The guest that this tab was before, if it was one.
function recall(url) {
  try {
    const { user, token } = JSON.parse(sessionStorage.getItem(GUEST_KEY + url) ?? "");
    if (isGuest(user) && isText(token)) return { user, token };
  } catch {
    // there is none, something else has written it, or this page has no such storage
  }
}

// Returns the guests that this tab was: at an address, or at all of them if a page has not connected and knows none.
function forgetGuests(url) {
  const users = [];
  try {
    const urls = url ? [url] : Object.keys(sessionStorage).flatMap((key) => (key.startsWith(GUEST_KEY) ? key.slice(GUEST_KEY.length) : []));
    for (const one of urls) {
      users.push(recall(one)?.user);
      sessionStorage.setItem(GUEST_KEY + one, "null");
    }
  } catch {
    // a page without this storage
  }
  return users;
}

function putIfRoom(outbox, row) {
  const count = outbox.index("user").count(row.user);
  count.onsuccess = () => count.result < MOST_ROWS && outbox.put(row);
  return () => count.result < MOST_ROWS;
}

function removeAll(store, index, range) {
  store.index(index).openKeyCursor(range).onsuccess = ({ target: { result: cursor } }) => {
    if (!cursor) return;
    store.delete(cursor.primaryKey);
    cursor.continue();
  };
}
