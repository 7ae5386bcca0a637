/** What rooms and topics of the fake server share: their log, and the clients that are in them. */

import { FakeLog } from "./log.js";

/** @typedef {{ code?: string, message?: string, retry_after?: number }} Why */

export class FakeHandle {
  _log = new FakeLog();
  #kind;
  #name;
  #refusal;

  /**
   * @param {"room" | "topic"} kind
   * @param {string} name
   * @param {import("./server.js").FakeServer} server
   * @param {Why} refusal what clients are told who are put out
   */
  constructor(kind, name, server, refusal) {
    this.#kind = kind;
    this.#name = name;
    this._server = server;
    this.#refusal = refusal;
  }

  /**
   * Put the clients out.
   * @param {Why} [why]
   */
  remove(why = {}) {
    this._tell({ type: "removed", ...this.#refusal, ...why });
    this._server.expel(this.#kind, this.#name);
  }

  /** Lose all that is stored, as after the restore of a backup. */
  restart() {
    this._log.restart();
    this._tell({ type: "resync", seq: 0, epoch: this._log.epoch });
    this._server.expel(this.#kind, this.#name);
  }

  /** @param {object} frame */
  _tell(frame) {
    this._server.send({ ...frame, [this.#kind]: this.#name }, this.#kind, this.#name);
  }
}
