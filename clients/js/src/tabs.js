/**
 * One socket for all tabs of a user: a transport around another one. The tab that holds a Web Lock leads. It opens the
 * socket, and passes frames between it and the other tabs over a BroadcastChannel. Each tab stays a full client
 * with its own positions, so the end of a leader is a lost line. docs/tabs.md
 */

import { ANY_GUEST, isGuest } from "./guest.js";
import { Seat } from "./seat.js";

const VERSION = 1; // of the messages between tabs: those of another release form a group of their own

/**
 * The option `tabs` of a client. `group` separates tabs whose tokens have different rights. A page whose user is
 * not known yet, and a page without locks or channels, opens a socket of its own.
 * @returns {import("./transport.js").Wrapper}
 */
export function tabs({ group = "" } = {}) {
  return (transport, host) => ({
    open(target, receiver) {
      const user = isGuest(host.user) ? ANY_GUEST : host.user; // all tabs of a guest are the same guest
      if (!user || !globalThis.navigator?.locks || !globalThis.BroadcastChannel) return transport.open(target, receiver);
      const name = async () => `realtime:${VERSION}:${await target.url()}:${user}:${group}`;
      return new Seat(name, (seat) => transport.open(target, seat), receiver, { signal: target.signal, clock: host.clock });
    },
  });
}
