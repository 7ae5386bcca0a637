/** The replies of the fake server to the commands of a client. */

import { failure } from "./frames.js";

/**
 * Return the commands of a batch, or the command itself.
 * @param {any} command
 * @returns {any[]}
 */
export function split(command) {
  const each = (/** @type {object[]} */ items, /** @type {string} */ type) => items.map((item) => ({ type, ...item }));
  if (command.type === "joins") return each(command.rooms, "join");
  if (command.type === "subscribes") return each(command.topics, "subscribe");
  return [command];
}

/**
 * Execute a command. Returns its reply, or null where the protocol has none.
 * @param {import("./server.js").FakeServer} server
 * @param {import("./connection.js").FakeConnection} connection
 * @param {any} command
 */
export function answer(server, connection, command) {
  const { type, room, topic, name, t } = command;
  const { user } = connection;
  switch (type) {
    case "ping":
      return { type: "pong", t, server_time: server.time() };
    case "auth":
      if (name) connection.user = { ...user, username: name };
      return { type: "authenticated", ...connection.user };
    case "join":
      connection.enter("room", room);
      return server.room(room).joined(command, user);
    case "leave":
      connection.leave("room", room);
      return { type: "left", room, ...user };
    case "message":
      if (!connection.isIn("room", room)) return failure("not_joined", `Join ${room} first.`, { room });
      return server.room(room).accept(command, user);
    case "subscribe":
      connection.enter("topic", topic);
      return server.topic(topic).subscribed(command);
    case "unsubscribe":
      connection.leave("topic", topic);
      return { type: "unsubscribed", topic };
    case "call":
      return server.topic(topic).called(command);
    case "history":
      return topic === undefined ? server.room(room).history(command) : server.topic(topic).history(command);
    case "presence":
      return server.room(room).presence(user);
    case "typing":
    case "signal":
    case "read":
    case "pong":
    case "answer":
      return null;
    default:
      return failure("unknown_type", `The fake server does not know the command ${type}.`);
  }
}
