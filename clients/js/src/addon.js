/**
 * How a client and its add-ons know each other. An add-on is a file of its own: the page gives what it makes as the option
 * of the same name. Rooms and topics are add-ons of the core too, which `client.js` and `topics.js` contain.
 *
 * @typedef {object} AddOn The client calls these methods, where there are any.
 * @property {(address: string) => Promise<void> | void} [prepare] Be ready for a connection, which waits for it.
 * @property {(status: import("./types.js").Status) => void} [moved] The connection or its user has changed; before the event `state`.
 * @property {() => void} [opened] Commands can be sent. After the event `state`.
 * @property {(frame: any) => boolean} [take] Take a frame. Returns whether it is done with.
 * @property {() => void} [tick] Called every few seconds while the line is there.
 * @property {() => void} [dropped] The line is lost.
 * @property {() => void} [suspended] The page is put away: let go of what keeps it from being restored.
 * @property {(error: import("./errors.js").RealtimeError) => void} [closed] The client is closed: let go of everything that outlives it.
 * @property {() => void} [reopened] The client connects again after that.
 * @property {() => void} [forget] Drop all data of the last user from memory.
 * @property {(user: string | null) => Promise<void> | void} [erase] Delete what the browser keeps of a user.
 *
 * @typedef {object} AddOnHost What an add-on may use of its client.
 * @property {import("./types.js").ClientOptions} options
 * @property {import("./clock.js").Clock} clock
 * @property {import("./connection.js").Connection} connection
 * @property {import("./identity.js").Identity} identity
 * @property {import("./stores.js").Stores | undefined} stores
 * @property {Record<string, number>} limits What the server permits.
 * @property {(command: object, options?: import("./types.js").RequestOptions, take?: (reply: any) => void) => Promise<any>} request
 * @property {(type: string, detail: any) => void} emit An event of the client.
 * @property {(error: import("./errors.js").RealtimeError) => void} failed Tell the page of an error that belongs to no promise.
 */

/**
 * What the function of an add-on returns: the option of a client.
 * @template [Host=AddOnHost]
 * @template [Made=AddOn]
 * @typedef {((host: Host) => Made) & { version: number }} AddOnOption
 */

/** @typedef {(host: AddOnHost) => Record<string, AddOn>} Parts What a file adds to the core: add-ons by their names. */

/** Raise it when a client and an add-on of another release would not fit each other any more. */
const VERSION = 1;

/**
 * Return the option of a client that makes an add-on.
 * @template Host
 * @template Made
 * @param {(host: Host) => Made} make
 * @returns {AddOnOption<Host, Made>}
 */
export const addOn = (make) => Object.assign(make, { version: VERSION });

/**
 * Make an add-on; undefined if the page has not given it.
 * @template Host
 * @template Made
 * @param {string} name
 * @param {AddOnOption<Host, Made> | undefined} option
 * @param {Host} host
 */
export function use(name, option, host) {
  if (!option) return undefined;
  if (option.version === VERSION) return option(host);
  throw new TypeError(`The option \`${name}\` does not fit the client: give it \`${name}()\` of realtime/${name}.js, of the same release.`);
}

/** The files of clients that have these parts; the other add-ons are options. */
const CLIENTS = { rooms: "client.js", topics: "topics.js or realtime/client.js" };

/**
 * Throw an error that says which file the page lacks.
 * @param {string} name
 * @returns {never}
 */
export function missing(name) {
  const file = CLIENTS[name];
  if (file) throw new TypeError(`This client has no ${name}: import it from realtime/${file}.`);
  throw new TypeError(`Give the client the option \`${name}: ${name}()\` of realtime/${name}.js.`);
}
