/**
 * The interfaces around the core: what carries its frames, and what keeps its messages over a reload.
 * This module holds types only.
 *
 * WebSocket, HTTP and another tab are transports. The client gives an address and a token as functions, so that
 * only the transport that really connects asks for them.
 *
 * @typedef {object} Transport
 * @property {(target: Target, receiver: Receiver) => Line} open Begin to connect, and return at once.
 *
 * @typedef {object} Target
 * @property {() => Promise<URL>} url The address of the socket, absolute, with the scheme `ws` or `wss`.
 * @property {() => Promise<string | null | undefined>} token The token for this attempt. None: no token is sent.
 * @property {string[]} subprotocols What to offer to the server, apart from the token.
 * @property {AbortSignal} signal Ends the attempt and its line: close everything, and tell nothing any more.
 *
 * @typedef {object} Receiver
 * @property {(text: string) => void} onFrame One or more JSON objects of protocol v1, one a line.
 * @property {(code: number, reason: string, isAtOnce?: boolean, isServed?: boolean) => void} onEnd The line has ended,
 *   or there was none. Told once. `isAtOnce`: nothing is wrong with the server, so the client connects without a wait.
 *   `isServed`: the server has answered requests of this line in full, so the end is no failure to connect.
 *
 * @typedef {object} Line
 * @property {string} name What the event `state` tells as `transport`: `websocket`, `http` or `tab`. It may change.
 * @property {(text: string) => void} send One or more JSON objects, one a line. Dropped while the line is not open yet.
 * @property {() => void} close
 * @property {number} bufferedAmount Bytes that wait to be sent.
 * @property {number} [batches] How many batches that enter rooms or topics may wait for replies, if not the usual two.
 *
 * What `tabs()` and `http()` return: the options `tabs` and `fallback` of the client. It wraps a transport.
 * @typedef {(transport: Transport, host: Host) => Transport} Wrapper
 *
 * @typedef {object} Host
 * @property {import("./clock.js").Clock} clock For all times and timers, so that tests can let them pass.
 * @property {string | undefined} http The option `http` of the client: the address for plain HTTP.
 * @property {string | null} user The user of the client, once it is known: the option `user`, or that of the first `welcome`.
 * @property {(name: string) => void} changed The name of the line has changed: the event `state` tells it.
 * @property {(error: import("./errors.js").RealtimeError) => void} failed Tell the page by the event `error`.
 */

/**
 * What `offline()` returns: the option `offline` of the client. No method throws or rejects; failures are told by
 * `host.failed` (code `storage`).
 *
 * @typedef {object} Storage
 * @property {(host: StorageHost) => Promise<Kept>} open Read what is kept of this user. Called on start, and after
 *   the page comes back. The first connection waits for it.
 * @property {(row: Row) => void} added A message waits for its ack. Call `host.stored(nonce)` once it is written.
 *   While the storage is not open, it may ignore this: the client repeats it after `open`.
 * @property {(nonce: string) => void} acknowledged
 * @property {(nonce: string, code: string) => void} failed It waits for the page: `retry` (which is `added` again) or `discard`.
 * @property {(nonce: string) => void} discarded
 * @property {(room: import("./room.js").Room) => void} changed A joined room has changed; at most once a received frame.
 * @property {(status: { state: string, code: any }, identity: { userId: string | null, guestToken: string | null }) => void} [moved]
 *   The client has another state, for this reason. `identity`: who it is, with its token if it is a guest.
 *   Once it is `open`, a page whose messages may be adopted is maybe gone.
 * @property {() => void} close The client was closed, or its page is put away: let go of everything.
 * @property {(user: string | null) => Promise<void>} forget Delete all that is kept of a user, also before `open`.
 *
 * @typedef {object} StorageHost
 * @property {string | null} user
 * @property {string} url The address of the socket, without a query.
 * @property {import("./clock.js").Clock} clock `clock.serverNow()` is the server's time in ms, or NaN before the first `welcome`.
 * @property {(nonce: string) => void} stored
 * @property {(rows: Row[]) => void} adopt Send these rows too: they were kept by a page that is gone.
 * @property {(cause: unknown) => void} failed Tell the page by the event `error` (code `storage`).
 *
 * @typedef {object} Row A waiting message. The storage may add fields of its own.
 * @property {string} nonce
 * @property {string} room
 * @property {string} content
 * @property {object} [data]
 * @property {number} order Rows of one room are sent in this order.
 * @property {string} [code] Why it was refused: it is shown as failed.
 * @property {boolean} [isDiscarded] The page has discarded it: a copy in memory is dropped.
 * @property {number} at When it was written, in ms of the server's time if that was known, else of this machine's.
 *
 * @typedef {object} Kept
 * @property {{ user: string, token: string }} [guest] The guest that this tab was before, if `user` is any guest.
 * @property {Row[]} rows
 * @property {{ slug: string, messages: object[], seq: number, epoch: string }[]} rooms With the position that their messages reach.
 */

export {};
