/** Fragments of pages, parsed without executing scripts or loading images. */

/** @param {string} html @returns {DocumentFragment} */
export function parse(html) {
  const parsed = new DOMParser().parseFromString(`<template>${html}</template>`, "text/html");
  return /** @type {HTMLTemplateElement} */ (parsed.querySelector("template")).content; // also for rows of tables
}

/**
 * Take those elements out of a fragment whose `id` the page has already. Entries come twice, so these replace what
 * is there.
 * @param {DocumentFragment} content
 * @returns {[Element, Element][]} pairs of the element in the page and the new one
 */
export function takeKnown(content) {
  return [...content.children].flatMap((fresh) => {
    const known = fresh.id ? document.getElementById(fresh.id) : null;
    if (!known) return [];
    fresh.remove();
    return [/** @type {[Element, Element]} */ ([known, fresh])];
  });
}

/** @param {DocumentFragment} content */
export const isBlank = (content) => !content.children.length && !content.textContent?.trim();

/**
 * Let the new element show the topic of the old one if it names none: a fragment is rendered without a signature.
 * @param {Element} known
 * @param {Element | null} fresh
 * @param {string[]} topic the attributes that name a topic
 * @param {string[]} others
 */
export function inherit(known, fresh, topic, others) {
  const has = (/** @type {Element} */ element) => topic.some((name) => element.getAttribute(name));
  if (!fresh || !has(known) || has(fresh)) return;
  for (const name of [...topic, ...others]) {
    const value = known.getAttribute(name);
    if (value !== null && !fresh.getAttribute(name)) fresh.setAttribute(name, value);
  }
}
