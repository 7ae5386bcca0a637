// A table of any number of rows, of which only those in view are elements.

const ROW = 28; // the height of a row, as in live.css
const MARGIN = 10; // rows that are drawn beyond the edges

/** @typedef {Record<string, any> & { key: string, text: string }} Row */

const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

export class Table {
  /**
   * @param {HTMLElement} root the page
   * @param {{ of: string, by: string, count: (shown: number, all: number) => string,
   *   cells: (row: Row) => string[], read: () => Row[], box?: (row: Row) => HTMLInputElement }} options
   */
  constructor(root, options) {
    this.options = options;
    this.by = options.by;
    this.isDescending = true;
    this.view = root.querySelector(`.realtime-rows[data-of=${options.of}]`);
    this.body = this.view.querySelector(".realtime-body");
    this.count = root.querySelector(`.realtime-count[data-of=${options.of}]`);
    this.search = root.querySelector(`.realtime-tools[data-of=${options.of}] [type=search]`);
    /** @type {Row[]} */
    this.rows = [];
    /** @type {Map<string, { element: HTMLElement, cells: HTMLElement[], texts: string[] }>} */
    this.drawn = new Map();
    this.isDue = false;
    this.view.addEventListener("scroll", () => this.show());
    this.search.addEventListener("input", () => this.draw());
    this.search.form.addEventListener("submit", (event) => event.preventDefault());
    this.view.querySelector(".realtime-head").addEventListener("click", ({ target }) => this.sort(target.dataset.by));
  }

  sort(by) {
    if (!by) return;
    this.isDescending = this.by === by ? !this.isDescending : false;
    this.by = by;
    this.draw();
  }

  /** Draw with the next frame, once for all changes until then. */
  draw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.arrange();
      this.show();
    });
  }

  arrange() {
    const [wanted, all] = [this.search.value.trim().toLowerCase(), this.options.read()];
    const [sign, by] = [this.isDescending ? -1 : 1, this.by];
    this.rows = wanted ? all.filter((row) => row.text.includes(wanted)) : all;
    this.rows.sort((one, other) => sign * compare(one[by], other[by]) || compare(one.key, other.key));
    this.count.textContent = this.options.count(this.rows.length, all.length);
    this.body.style.height = `${this.rows.length * ROW}px`;
    this.view.setAttribute("aria-rowcount", String(this.rows.length + 1));
    for (const button of this.view.querySelectorAll(".realtime-head button")) {
      const order = this.isDescending ? "descending" : "ascending";
      button.parentElement.setAttribute("aria-sort", button.dataset.by === by ? order : "none");
    }
  }

  /**
   * The place of the first drawn row, and the rows in view and some beyond.
   * @returns {[number, Row[]]}
   */
  get visible() {
    const first = Math.max(0, Math.floor(this.view.scrollTop / ROW) - MARGIN);
    return [first, this.rows.slice(first, first + Math.ceil(this.view.clientHeight / ROW) + 2 * MARGIN)];
  }

  /** Draw the rows in view. An element stays the same while its row is drawn, so it keeps the focus. */
  show() {
    const [first, rows] = this.visible;
    const keys = new Set(rows.map((row) => row.key));
    for (const [key, { element }] of this.drawn) {
      if (keys.has(key)) continue;
      element.remove();
      this.drawn.delete(key);
    }
    let next = this.body.firstElementChild;
    rows.forEach((row, place) => {
      const drawn = this.drawn.get(row.key) ?? this.#make(row);
      this.#write(drawn, row, first + place);
      if (drawn.element === next) next = next.nextElementSibling;
      else this.body.insertBefore(drawn.element, next);
    });
  }

  #make(row) {
    const element = document.createElement("div");
    element.setAttribute("role", "row");
    const box = this.options.box?.(row);
    const cells = this.options.cells(row).map(() => document.createElement("span"));
    for (const cell of box ? [wrapped(box), ...cells] : cells) {
      cell.setAttribute("role", "cell");
      element.append(cell);
    }
    const drawn = { element, cells, texts: [] };
    this.drawn.set(row.key, drawn);
    return drawn;
  }

  #write({ element, cells, texts }, row, place) {
    const top = `${place * ROW}px`;
    if (element.style.top !== top) element.style.top = top;
    element.setAttribute("aria-rowindex", String(place + 2));
    this.options.cells(row).forEach((text, column) => {
      if (texts[column] === text) return;
      texts[column] = text;
      cells[column].textContent = cells[column].title = text;
    });
  }
}

function wrapped(box) {
  const cell = document.createElement("span");
  cell.append(box);
  return cell;
}
