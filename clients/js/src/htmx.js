/**
 * HTML over the wire with htmx 4 or 2: `<div hx-realtime="{% realtime_topic order %}" hx-swap="beforeend">` shows what
 * `publish_html` publishes. docs/html.md
 */

import { Elements } from "./html/elements.js";
import { inherit, isBlank, parse, takeKnown } from "./html/fragment.js";
import { LiveElement } from "./html/live_element.js";
import { pageClient } from "./html/page_client.js";
import { readSigned } from "./html/signed.js";

const TOPIC = ["hx-realtime", "data-hx-realtime"];
const OTHERS = ["hx-swap", "data-hx-swap", "hx-realtime-names", "data-hx-realtime-names"];
const { htmx } = /** @type {any} */ (window);

if (!htmx) throw new Error("htmx is missing: load it before realtime/htmx.js.");

/** @param {Element} element @param {string} name */
const attribute = (element, name) => element.getAttribute(name) ?? element.getAttribute(`data-${name}`);

const how = {
  names: (/** @type {Element} */ element) => attribute(element, "hx-realtime-names"),
  swap,
  remove: (/** @type {Element} */ element) => put(element, "", "delete"),
  refresh: () => {}, // an element says by `hx-trigger="realtime:refresh"` what it fetches
  isRefetched: false,
};

const show = (/** @type {Element} */ element) =>
  new LiveElement(element, readSigned(attribute(element, "hx-realtime") ?? "").signature !== undefined, how);

/** @param {Element} element @param {string} html */
function swap(element, html) {
  const { defaultSwap, defaultSwapStyle } = htmx.config;
  const [style] = (attribute(element, "hx-swap") || defaultSwap || defaultSwapStyle).trim().split(/\s/);
  if (/^(inner|text)|:inner/.test(style)) return put(element, html, style);
  const isOuter = /^(outer|morph)/.test(style);
  const content = parse(html);
  for (const [known, fresh] of takeKnown(content)) exchange(known, fresh, isOuter ? style : "outerHTML");
  if (isBlank(content)) return;
  if (isOuter) inherit(element, content.firstElementChild, TOPIC, OTHERS);
  put(element, textOf(content), style);
}

/** @param {Element} known @param {Element} fresh @param {string} style */
function exchange(known, fresh, style) {
  inherit(known, fresh, TOPIC, OTHERS);
  put(known, fresh.outerHTML, style);
}

/** @param {DocumentFragment} content */
function textOf(content) {
  const holder = document.createElement("template");
  holder.content.append(content);
  return holder.innerHTML;
}

// At once and without a transition: in a hidden tab timers are late, and swaps would be in another order.
/** @param {Element} target @param {string} text @param {string} style */
function put(target, text, style) {
  if (htmx.registerExtension) {
    htmx.swap({ sourceElement: target, target, text, swap: style, transition: false }).catch(reportError);
  } else {
    htmx.swap(target, text, { swapStyle: style, swapDelay: 0, settleDelay: 0 }, { contextElement: target });
  }
}

new Elements(await pageClient(), TOPIC, show).start();
