/** The one error of the client. Code compares `code`; docs/client.md lists the codes. */

export class RealtimeError extends Error {
  /**
   * `fields` are those of an `error` frame, or the same of the client's own.
   * `outcome` is `not_sent`, `refused` or `unknown`: whether the command may have been executed.
   */
  constructor({ code, message = code, retryable = false, retry_after, path, outcome = "refused", cause }) {
    super(message, { cause });
    this.name = "RealtimeError";
    this.code = code;
    this.isRetryable = retryable;
    this.retryAfter = retry_after > 0 ? retry_after : undefined;
    this.path = path;
    this.outcome = outcome;
  }
}

/** Return an error of the client itself. */
export const failure = (code, outcome = null, more) => new RealtimeError({ code, outcome, ...more });
