/** Frames that several parts of the fake server send. */

/**
 * Return an `error` frame.
 * @param {string} code
 * @param {string} message
 * @param {object} fields
 */
export const failure = (code, message, fields = {}) => ({ type: "error", code, message, retryable: false, ...fields });
