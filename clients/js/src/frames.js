/** Frames of the server by their types: who the client is, what the add-ons take, and what the client tells the page. */

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
    if (session.take(frame)) return;
    switch (frame.type) {
      case "ask":
        return session.connection.send({ type: "answer", ref: frame.ref, code: "no_handler", message: "The page answers no questions." });
      case "error":
        return session.failed(new RealtimeError(frame));
      case "authenticated":
      case "invited":
      case "joined":
      case "notice":
      case "pong":
      case "signal":
        return session.emit(frame.type, frame);
      case "changed":
      case "event":
      case "left":
      case "message":
      case "presence":
      case "removed":
      case "resync":
      case "room":
      case "typing":
        return; // of a room or topic that this page has left, or that another tab is in
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
    const { identity, connection } = this.#session;
    identity.learn(frame);
    this.#session.client.touched();
    if (!connection.isOpen) return true;
    if (!onReply && !this.#isExpected()) return false;
    if (onReply) identity.adopt();
    this.#session.identified();
    return true;
  }

  #isExpected() {
    const { identity, connection } = this.#session;
    const isExpected = identity.confirm();
    if (!isExpected) connection.close("identity_changed", "You are signed in as somebody else now.");
    return isExpected;
  }
}
