/** The elements of the document that show topics: also those that come later, until they are removed from it. */

import { Feed } from "./feed.js";
import { readSigned } from "./signed.js";

/** @typedef {import("./feed.js").Shown} Shown */

export class Elements {
  #client;
  #attributes;
  #show;
  #observer = new MutationObserver((records) => this.#changed(records, false));
  /** @type {Map<string, Feed>} */
  #feeds = new Map();
  /** @type {Map<Element, { value: string, feed: Feed }>} */
  #known = new Map();

  /**
   * @param {any} client
   * @param {string[]} attributes that name the topic of an element
   * @param {(element: Element) => Shown} show
   */
  constructor(client, attributes, show) {
    this.#client = client;
    this.#attributes = attributes;
    this.#show = show;
  }

  /** @param {Document} root */
  start(root = document) {
    this.#scan(root, false);
    this.#observer.observe(root, { subtree: true, childList: true, attributeFilter: this.#attributes });
  }

  /** @param {MutationRecord[]} records @param {boolean} isOwn */
  #changed(records, isOwn) {
    for (const { type, target, addedNodes } of records) {
      if (type === "attributes") this.#update(/** @type {Element} */ (target), isOwn);
      for (const node of addedNodes) if (node instanceof Element && node.isConnected) this.#scan(node, isOwn);
    }
    if (records.some(({ removedNodes }) => removedNodes.length)) this.#forgetRemoved();
  }

  /** @param {Document | Element} root @param {boolean} isOwn */
  #scan(root, isOwn) {
    if (root instanceof Element) this.#update(root, isOwn);
    const selector = this.#attributes.map((name) => `[${name}]`).join();
    for (const element of root.querySelectorAll(selector)) this.#update(element, isOwn);
  }

  /** @param {Element} element @param {boolean} isOwn */
  #update(element, isOwn) {
    const value = this.#attributes.map((name) => element.getAttribute(name)).find(Boolean) ?? "";
    const before = this.#known.get(element);
    if (value === (before?.value ?? "")) return;
    const { path, signature } = readSigned(value);
    const feed = path ? this.#feed(path) : null;
    if (feed) this.#known.set(element, { value, feed });
    else this.#known.delete(element);
    if (before && before.feed !== feed) before.feed.delete(element);
    feed?.add(element, this.#show(element), signature, isOwn);
  }

  /** @param {string} path */
  #feed(path) {
    const known = this.#feeds.get(path);
    if (known) return known;
    const settle = (/** @type {boolean} */ isOwn) => this.#changed(this.#observer.takeRecords(), isOwn);
    const host = { settle: () => settle(false), settleOwn: () => settle(true), ended: () => this.#feeds.delete(path) };
    const feed = new Feed(this.#client.topic(path), host);
    this.#feeds.set(path, feed);
    return feed;
  }

  #forgetRemoved() {
    for (const [element, { feed }] of this.#known) {
      if (element.isConnected) continue;
      this.#known.delete(element);
      feed.delete(element);
    }
  }
}
