/**
 * The browser client with rooms and topics, which is all that a page imports: they are entered again after each reconnect,
 * and messages are sent until they are acknowledged. docs/client.md
 */

import { RealtimeClient as Core } from "./core.js";
import { Entrance } from "./entrance.js";
import { Handles } from "./handles.js";
import { Rooms } from "./rooms.js";
import { Topic } from "./topic.js";

export { readConfig, RealtimeError } from "./core.js";
export { makeNonce } from "./outbox.js";

/** @import { AddOnHost } from "./addon.js" */
/** @import { AnySite, ClientOptions, SiteTypes } from "./types.js" */

/** @param {AddOnHost} host */
function parts(host) {
  const entrance = new Entrance(host); // one for both: few batches wait for replies at a time
  return { entrance, rooms: new Rooms(host, entrance), topics: new Handles("topic", Topic, host, entrance) };
}

/**
 * @template {SiteTypes} [Site=AnySite]
 * @extends {Core<Site>}
 */
export class RealtimeClient extends Core {
  /** @param {ClientOptions} [options] */
  constructor(options) {
    super(options, parts);
  }
}
