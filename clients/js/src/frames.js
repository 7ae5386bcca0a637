/** Frames of the server by their types: who the client is, questions to the page, and what happens in rooms and topics. */

import { RealtimeError } from "./errors.js";

const SECONDS = 10; // for the reply that gives a guest its name

export class Frames {
  #session;

  constructor(session) {
    this.#session = session;
  }

  /** Take a frame; `onReply` takes it too if it is the reply to a command. */
  receive(frame, onReply) {
    if (frame.type === "welcome") return this.#welcome(frame);
    if (frame.type === "authenticated" && !this.#authenticated(frame, onReply)) return;
    if (!onReply || ["authenticated", "presence", "resync"].includes(frame.type)) this.#tell(frame);
    onReply?.(frame);
  }

  #tell(frame) {
    const session = this.#session;
    const { type, room, topic } = frame;
    const handle = session.rooms.find(room) ?? session.topics.find(topic);
    const isFollowed = handle?.subscription.isFollowed; // not if a handler has just left it
    switch (type) {
      case "ask":
        return session.answers.ask(frame);
      case "error":
        return session.answers.refused(frame) || session.failed(new RealtimeError(frame));
      case "resync":
        return handle?.subscription.resync();
      case "removed":
        return handle?.subscription.remove(new RealtimeError({ ...frame, retryable: frame.code === "unavailable" }));
      case "message":
      case "changed":
      case "event":
      case "room":
      case "left":
      case "presence":
      case "typing":
        return isFollowed && handle.receive(frame);
      case "joined":
      case "signal":
        if (isFollowed) return handle.receive(frame); // else the site has moved the client, or tells all
        if (handle && frame.through === undefined) return;
      case "authenticated":
      case "invited":
      case "notice":
      case "pong":
        return session.emit(type, frame);
      default:
        session.emit("unknown", frame);
    }
  }

  #welcome(frame) {
    const { identity, connection } = this.#session;
    identity.learn(frame);
    const name = identity.wantedName;
    if (!name && !this.#isExpected()) return;
    this.#session.limits = frame.limits ?? {};
    connection.startHeartbeat(frame.heartbeat);
    this.#session.emit("welcome", frame);
    if (!name) return this.#opened();
    const refused = (error) => {
      if (error.code === "offline") return;
      if (error.isRetryable) connection.retry(error);
      else connection.close(4500, error.message);
    };
    connection.ask({ type: "auth", name }, () => this.#isExpected() && this.#opened(), refused, { seconds: SECONDS });
  }

  #opened() {
    this.#session.identity.named();
    this.#session.connection.opened();
  }

  // Whether the client goes on. With a reply, the page itself has asked to be this user.
  #authenticated(frame, onReply) {
    const { identity, connection, kept, status } = this.#session;
    identity.learn(frame);
    this.#session.client.touched();
    if (!connection.isOpen) return true;
    if (!onReply && !this.#isExpected()) return false;
    if (onReply) identity.adopt();
    kept.moved(status);
    return true;
  }

  #isExpected() {
    const { identity, connection } = this.#session;
    const isExpected = identity.confirm();
    if (!isExpected) connection.close("identity_changed", "You are signed in as somebody else now.");
    return isExpected;
  }
}
