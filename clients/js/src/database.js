/** The IndexedDB database of waiting and kept messages. It may fail at any time; then it is opened anew once. */

const NAME = "realtime";
const VERSION = 1; // never another one: a page of an earlier release has to open it. A new shape gets a new database

export class Database {
  /** @type {Promise<IDBDatabase> | null} */
  #opening = null;
  #failed;

  /** `failed(cause)` is called when a transaction has failed twice for the first time. */
  constructor(failed) {
    this.#failed = failed;
  }

  /**
   * Run `act(outbox, rooms)` in a transaction, at once if the database is open. It may return a function that gives the
   * result. Returns undefined if the transaction failed.
   */
  async run(act, mode = "readwrite") {
    try {
      return await this.#transact(act, mode);
    } catch {
      this.close();
    }
    try {
      return await this.#transact(act, mode);
    } catch (cause) {
      this.#failed(cause);
      this.#failed = () => {};
    }
  }

  /** Close it after the transactions that have begun; the next one opens it anew. */
  close() {
    this.#opening?.then((database) => database.close()).catch(() => {});
    this.#opening = null;
  }

  async #transact(act, mode) {
    const database = await (this.#opening ??= this.#open());
    return new Promise((resolve, reject) => {
      const transaction = database.transaction(["outbox", "rooms"], mode, { durability: "relaxed" });
      const [outbox, rooms] = ["outbox", "rooms"].map((name) => transaction.objectStore(name));
      const result = act(outbox, rooms);
      transaction.oncomplete = () => resolve(result?.() ?? true);
      transaction.onabort = () => reject(transaction.error);
    });
  }

  /** @returns {Promise<IDBDatabase>} */
  #open() {
    return new Promise((resolve, reject) => {
      const request = indexedDB.open(NAME, VERSION);
      request.onupgradeneeded = () => create(request.result);
      request.onerror = () => reject(request.error);
      request.onsuccess = () => resolve(this.#watch(request.result));
    });
  }

  // The browser may close it, for example in the background; another page may want to delete it.
  #watch(database) {
    database.onclose = database.onversionchange = () => this.close();
    return database;
  }
}

function create(database) {
  const outbox = database.createObjectStore("outbox", { keyPath: "nonce" });
  const rooms = database.createObjectStore("rooms", { keyPath: ["user", "slug"] });
  for (const store of [outbox, rooms]) for (const name of ["user", "at"]) store.createIndex(name, name);
}
