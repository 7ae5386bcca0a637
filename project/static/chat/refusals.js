/** Why something was refused, in words for the page. */

const REASONS = {
  closed: "Not sent.",
  expired: "Not sent for a day.",
  identity_changed: "Written under another name.",
  queue_full: "Too many messages are waiting.",
  too_large: "Too long.",
  permission_denied: "You may not write here.",
};

/** Make a sentence of a text of the server. */
export function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** Say why a message was not sent. */
export function whyNotSent({ code, message }) {
  return REASONS[code] ?? sentence(message);
}
