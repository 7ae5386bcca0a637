/**
 * HTML over the wire without htmx: `<div data-realtime="{% realtime_topic order %}" data-swap="append">` shows what
 * `publish_html` publishes. docs/html.md
 */

import { Elements } from "./html/elements.js";
import { inherit, isBlank, parse, takeKnown } from "./html/fragment.js";
import { LiveElement } from "./html/live_element.js";
import { morph } from "./html/morph.js";
import { pageClient } from "./html/page_client.js";
import { refetch } from "./html/refetch.js";
import { readSigned } from "./html/signed.js";

const TOPIC = "data-realtime";
const OTHERS = ["data-swap", "data-names"];

const how = {
  names: (/** @type {Element} */ element) => element.getAttribute("data-names"),
  swap,
  remove: (/** @type {Element} */ element) => element.remove(),
  refresh: (/** @type {Element} */ element) => refetch(element, replace),
  isRefetched: true,
};

const show = (/** @type {Element} */ element) =>
  new LiveElement(element, readSigned(element.getAttribute(TOPIC) ?? "").signature !== undefined, how);

/** @param {Element} element @param {string} html */
function swap(element, html) {
  const content = parse(html);
  const style = element.getAttribute("data-swap") || "inner";
  if (style === "inner") return element.replaceChildren(content);
  const isMorph = style === "morph";
  for (const [known, fresh] of takeKnown(content)) exchange(known, fresh, isMorph);
  if (!isBlank(content)) insert(element, content, style);
}

/** @param {Element} element @param {DocumentFragment} content @param {string} style */
function insert(element, content, style) {
  switch (style) {
    case "append":
      return element.append(content);
    case "prepend":
      return element.prepend(content);
    case "before":
      return element.before(content);
    case "after":
      return element.after(content);
    case "outer":
      pass(element, content.firstElementChild);
      return element.replaceWith(content);
    case "morph": {
      const [fresh, ...others] = content.children;
      element.after(...others);
      return exchange(element, fresh, true);
    }
    default:
      console.error(`data-swap="${style}" is none of inner, outer, morph, append, prepend, before, after:`, element);
  }
}

/** @param {Element} known @param {Element} fresh @param {boolean} isMorph */
function exchange(known, fresh, isMorph) {
  pass(known, fresh);
  if (isMorph) morph(known, fresh);
  else known.replaceWith(fresh);
}

/** @param {Element} known @param {Element | null} fresh */
function pass(known, fresh) {
  inherit(known, fresh, [TOPIC], OTHERS);
}

/** @param {Element} element @param {Element} fresh from the page that was fetched again */
function replace(element, fresh) {
  exchange(element, fresh, element.getAttribute("data-swap") === "morph");
}

new Elements(await pageClient(), [TOPIC], show).start();
