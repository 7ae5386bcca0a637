/** The address of a room or topic in a frame: the field `room` or `topic`. */

/** The commands that leave an address, and their replies. */
export const LEAVES = { leave: "left", unsubscribe: "unsubscribed" };

/**
 * Return the address of a frame as JSON, which is a key.
 * @type {(frame: { room?: string, topic?: string }) => string}
 */
export const addressOf = ({ room, topic }) => JSON.stringify(topic === undefined ? { room } : { topic });

/**
 * Return the addresses of a command that enters one room or topic, or many.
 * @type {(command: { rooms?: { room: string }[], topics?: { topic: string }[], room?: string, topic?: string }) => string[]}
 */
export const addressesOf = ({ rooms, topics, ...one }) => (rooms ?? topics ?? [one]).map(addressOf);

/**
 * Whether a frame refuses a whole batch: the error of one room or topic has its address.
 * @type {(frame: any) => boolean}
 */
export const isForAll = ({ type, room, topic }) => type === "error" && room === undefined && topic === undefined;
