/** The browser client with topics, and without rooms: all that a page without a chat imports. docs/client.md */

import { RealtimeClient as Core } from "./core.js";
import { Entrance } from "./entrance.js";
import { Handles } from "./handles.js";
import { Topic } from "./topic.js";

export { readConfig, RealtimeError } from "./core.js";

/** @import { AddOnHost } from "./addon.js" */
/** @import { AnySite, ClientOptions, SiteTypes } from "./types.js" */

/** @param {AddOnHost} host */
function parts(host) {
  const entrance = new Entrance(host);
  return { entrance, topics: new Handles("topic", Topic, host, entrance) };
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
