/** One tab stop for a list: the arrow keys, Home and End move within it. */

export class Roving {
  /** @type {HTMLElement | null} */
  #current = null;

  /** `find(row)` returns the element of a row that takes the focus; `start` is "first" or "last". */
  constructor(list, find, start = "first") {
    this.list = list;
    this.find = find;
    this.start = start;
    list.addEventListener("focusin", ({ target }) => this.#take(this.#of(target.closest("li"))));
    list.addEventListener("keydown", (event) => this.#keyed(event));
    new MutationObserver(() => this.#settle()).observe(list, { childList: true, subtree: true });
    this.#settle();
  }

  /** Focus the last focused element, otherwise the first or last one. */
  focus() {
    this.#settle();
    this.#current?.focus();
  }

  /** Focus the end of the list. */
  focusEnd() {
    this.#go(this.list.lastElementChild, "previousElementSibling");
  }

  #of(row) {
    return row && this.find(row);
  }

  #settle() {
    for (const row of this.list.children) {
      const element = this.#of(row);
      if (element && element !== this.#current && element.getAttribute("tabindex") !== "-1") element.tabIndex = -1;
    }
    if (this.#current?.isConnected && this.list.contains(this.#current)) return;
    const rows = [...this.list.children].map((row) => this.#of(row)).filter(Boolean);
    this.#take(this.start === "last" ? rows.at(-1) : rows[0]);
  }

  #take(element) {
    if (!element) return;
    if (this.#current) this.#current.tabIndex = -1;
    this.#current = element;
    element.tabIndex = 0;
  }

  #keyed(event) {
    const row = event.target.closest("li");
    if (event.target !== this.#of(row) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowUp") this.#go(row.previousElementSibling, "previousElementSibling");
    else if (event.key === "ArrowDown") this.#go(row.nextElementSibling, "nextElementSibling");
    else if (event.key === "Home") this.#go(this.list.firstElementChild, "nextElementSibling");
    else if (event.key === "End") this.#go(this.list.lastElementChild, "previousElementSibling");
    else return;
    event.preventDefault();
  }

  #go(row, next) {
    while (row && !this.#of(row)) row = row[next];
    this.#of(row)?.focus();
  }
}
