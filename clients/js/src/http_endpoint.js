/** The address for plain HTTP, with what tells it who the page is. docs/http.md */

export class HttpEndpoint {
  /** @type {string | null | undefined} */
  token;
  /** @type {string | undefined} */
  user; // once it is known: the server refuses requests of another one
  connection = ""; // that of the stream: the server does not send it what this page signals
  isServed = false; // whether a response came to its end: that of a stream may be far
  #url;
  #refused;

  /**
   * `refused(text)` is called with the body of a response that is no success.
   * @param {string} url
   * @param {(text: string) => void} refused
   */
  constructor(url, refused) {
    this.#url = url;
    this.#refused = refused;
  }

  /**
   * Send commands. Returns the lines of the response.
   * @param {string} query
   * @param {string[]} commands
   * @param {AbortSignal} signal
   */
  async ask(query, commands, signal) {
    const response = await this.#post(query, commands, signal);
    const text = await response.text();
    this.isServed = true;
    return text.split("\n").filter(Boolean);
  }

  /**
   * Send commands. Yields the lines of a stream, as they come.
   * @param {string[]} commands
   * @param {AbortSignal} signal
   */
  async *stream(commands, signal) {
    const { body } = await this.#post("?stream", commands, signal);
    const decoder = new TextDecoder();
    let rest = "";
    for (const reader = /** @type {ReadableStream<Uint8Array>} */ (body).getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      yield lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5));
    }
    this.isServed = true;
  }

  async #post(query, commands, signal) {
    const headers = { "Content-Type": "application/x-ndjson" };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (this.user) headers["X-Realtime-User"] = encodeURIComponent(this.user);
    if (this.connection) headers["X-Realtime-Connection"] = this.connection;
    const address = this.#url + (query && this.#url.includes("?") ? query.replace("?", "&") : query);
    const body = commands.join("\n");
    const response = await fetch(address, { method: "POST", headers, body, signal, credentials: "include", cache: "no-store" });
    if (response.ok) return response;
    this.#refused(await response.text());
    throw Object.assign(new Error(`The server answered ${response.status}.`), { status: response.status });
  }
}
