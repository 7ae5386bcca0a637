/** The one error of the client. Code compares `code`; docs/client.md lists the codes. */

/** @typedef {"not_sent" | "refused" | "unknown" | null} Outcome whether the command may have been executed */
/** @typedef {{ message?: string, retryable?: boolean, retry_after?: any, path?: string, outcome?: Outcome, cause?: unknown }} Fields */

export class RealtimeError extends Error {
  /**
   * `fields` are those of an `error` frame, or the same of the client's own.
   * @param {Fields & { code: string }} fields
   */
  constructor({ code, message = code, retryable = false, retry_after, path, outcome = "refused", cause }) {
    super(message, { cause });
    this.name = "RealtimeError";
    this.code = code;
    this.isRetryable = retryable;
    /** @type {number | undefined} */
    this.retryAfter = retry_after > 0 ? Number(retry_after) : undefined;
    this.path = path;
    this.outcome = outcome;
  }
}

/**
 * Return an error of the client itself.
 * @param {string} code
 * @param {Outcome} [outcome]
 * @param {Fields} [more]
 */
export const failure = (code, outcome = null, more) => new RealtimeError({ code, outcome, ...more });
