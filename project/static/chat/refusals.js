/** Texts for the page about refused commands. */

const REASONS = {
  closed: "Not sent.",
  expired: "Not sent for a day.",
  identity_changed: "Written under another name.",
  queue_full: "Too many messages are waiting.",
  too_large: "Too long.",
  permission_denied: "You may not write here.",
};

/** Return why a message was not sent. */
export function whyNotSent({ code, message }) {
  return REASONS[code] ?? message;
}

/** Return why a command was refused. An error of the client itself has a code, and no sentence. */
export function whyRefused({ code, message }) {
  return `That was not possible. ${message === code ? "The connection was lost." : message}`;
}
