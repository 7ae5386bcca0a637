// The live page of the admin: a subscriber of the topic "realtime/live", drawn without a library.

/**
 * @typedef {{ numbers: any, opened: Row[], closed: string[], is_partial: boolean }} Report
 * @typedef {Record<string, any>} Row
 * @typedef {{ numbers: any, before: any, at: number, rows: Map<string, Row>, places: Row[], row?: HTMLTableRowElement,
 *   isStale: boolean, meanwhile: Report[] | null }} Node
 */

const WINDOW = 15 * 60 * 1000; // of the charts, in milliseconds
const GONE = 5000; // without a report, a process counts as gone
const FORGOTTEN = 60000;
const ROW = 28; // the height of a row, as in live.css
const MARGIN = 10; // rows that are drawn beyond the edges
const REFRESH = 2000; // the pause between two questions about the rows in view
const MOST = 500; // clients of one action
const OVERLAP = 50; // of two pages of clients: those that end between the two questions move the rest

const root = /** @type {HTMLElement} */ (document.getElementById("realtime-live-page"));
const config = JSON.parse(document.getElementById("realtime-live-config").textContent);
const texts = config.texts;
/** @type {Map<string, Node>} */
const nodes = new Map();
/** @type {Set<string>} */
const selected = new Set();
let heardAt = 0;

const fill = (text, values) => text.replace(/%\((\w+)\)s/g, (_, name) => values[name]);
const whole = (number) => Math.round(number).toLocaleString();
const sum = (values) => values.reduce((total, one) => total + one, 0);
const living = () => [...nodes.values()].filter((node) => Date.now() - node.at < GONE);

/** A time span in its two largest units. */
function span(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = Math.max(0, units.findIndex(([size]) => seconds >= size));
  if (seconds < 1) return "0 s";
  return units.slice(first, first + 2).map(([size, name], place) => {
    const number = Math.floor((place ? seconds % units[first][0] : seconds) / size);
    return number || !place ? `${number} ${name}` : "";
  }).join(" ").trim();
}

// Rates

/** How fast a total has grown between the last two reports of a process. */
function rate(node, read) {
  if (!node.before) return 0;
  const seconds = node.numbers.at - node.before.at;
  return seconds > 0 ? Math.max(0, read(node.numbers) - read(node.before)) / seconds : 0;
}

const BOUNDS = [...config.bounds, 2 * config.bounds.at(-1)]; // in milliseconds; the last bucket has none of its own

/** The bound below which this share of the commits of the last second stayed, in milliseconds. */
function quantile(share) {
  const grown = BOUNDS.map((_, place) => sum(living().map((node) => {
    const [now, before] = [node.numbers, node.before].map((one) => one?.totals.acks.buckets[place] ?? 0);
    return node.before ? Math.max(0, now - before) : 0;
  })));
  const all = sum(grown);
  let passed = 0;
  return all ? BOUNDS[grown.findIndex((one) => (passed += one) >= all * share)] : 0;
}

const total = (read) => () => sum(living().map((node) => read(node.numbers)));
const speed = (read) => () => sum(living().map((node) => rate(node, read)));

// Charts

const CHARTS = [
  { title: texts.connections, lines: [total((one) => one.gauges.connections)] },
  { title: texts.commands, lines: [speed((one) => one.totals.commands)] },
  { title: texts.deliveries, lines: [speed((one) => one.totals.deliveries)] },
  { title: `${texts.commit} (p50, p99)`, lines: [() => quantile(0.5), () => quantile(0.99)] },
  { title: texts.waiting, lines: [total((one) => one.gauges.queued_frames)] },
  { title: texts.repairs, lines: [total((one) => one.totals.repairs)] },
  { title: texts.refused, lines: [total((one) => sum(Object.values(one.totals.refused)))] },
  { title: texts.slow, lines: [total((one) => one.totals.closed["4008"] ?? 0)] },
].map(chart);

/** Make the figure of a chart; its samples are [time, values]. */
function chart({ title, lines }) {
  const figure = document.createElement("figure");
  figure.className = "realtime-chart";
  figure.innerHTML = `<figcaption><span></span><output></output></figcaption>
    <svg viewBox="0 0 300 64" preserveAspectRatio="none" aria-hidden="true">${"<polyline/>".repeat(lines.length)}</svg>`;
  figure.querySelector("span").textContent = title;
  root.querySelector(".realtime-charts").append(figure);
  return { figure, lines, samples: [] };
}

function sample() {
  const now = Date.now();
  for (const { figure, lines, samples } of CHARTS) {
    samples.push([now, lines.map((line) => line())]);
    while (samples[0][0] < now - WINDOW) samples.shift();
    const top = Math.max(1, ...samples.map(([, values]) => Math.max(...values)));
    figure.querySelectorAll("polyline").forEach((line, place) => {
      const points = samples.map(([at, values]) => `${300 - ((now - at) / WINDOW) * 300},${62 - (values[place] / top) * 60}`);
      line.setAttribute("points", points.join(" "));
    });
    const values = samples.at(-1)[1];
    figure.querySelector("output").textContent = values.map(whole).join(" / ");
  }
}

// Processes

function drawNodes() {
  const body = root.querySelector(".realtime-nodes tbody");
  const rows = [...nodes.values()].map((node) => drawNode(node));
  // Rows that stay are not replaced: their buttons would lose the focus.
  if (rows.length !== body.children.length || rows.some((row, place) => row !== body.children[place])) body.replaceChildren(...rows);
}

function drawNode(node) {
  const one = node.numbers;
  const cells = [
    one.node, one.hostname, `${one.program} ${one.pid}`, one.version, span(one.at - one.started_at),
    `${whole(100 * rate(node, (numbers) => numbers.cpu_seconds))} %`, whole(one.gauges.connections),
    whole(rate(node, (numbers) => numbers.totals.commands)), whole(rate(node, (numbers) => numbers.totals.deliveries)), stateOf(node),
  ];
  node.row ??= newNodeRow(one.node, cells.length);
  cells.forEach((text, place) => (node.row.cells[place].textContent = text));
  const button = node.row.querySelector("button");
  if (button) {
    button.textContent = one.is_draining ? config.nodes.serve : config.nodes.drain;
    button.disabled = Date.now() - node.at >= GONE || (one.is_stopping && !one.is_draining);
  }
  return node.row;
}

/** A row of cells, and a button to drain the process; the list of processes asks first. */
function newNodeRow(name, size) {
  const row = document.createElement("tr");
  for (let place = 0; place < size; place++) row.insertCell();
  if (!config.nodes) return row;
  const button = Object.assign(document.createElement("button"), { type: "button" });
  button.addEventListener("click", () => post(config.nodes.url, nodes.get(name)?.numbers.is_draining ? "serve" : "drain", [name]));
  row.insertCell().append(button);
  return row;
}

function stateOf(node) {
  if (Date.now() - node.at >= GONE) return texts.gone;
  if (node.numbers.is_draining) return texts.draining;
  if (node.numbers.is_stopping) return texts.stopping;
  return node.numbers.is_current ? texts.running : texts.late;
}

// Tables of any number of rows, of which only those in view are elements

class Table {
  /** @param {string} of @param {(row: Row) => (string | Node)[]} cells @param {() => Row[]} read */
  constructor(of, by, cells, read) {
    this.view = root.querySelector(`.realtime-rows[data-of=${of}]`);
    this.body = this.view.querySelector(".realtime-body");
    this.count = root.querySelector(`.realtime-count[data-of=${of}]`);
    this.search = root.querySelector(`.realtime-tools[data-of=${of}] [type=search]`);
    Object.assign(this, { cells, read, by, isDescending: true, rows: [], isDue: false });
    this.view.addEventListener("scroll", () => this.show());
    this.search.addEventListener("input", () => this.draw());
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
    const [wanted, all, sign] = [this.search.value.trim().toLowerCase(), this.read(), this.isDescending ? -1 : 1];
    this.rows = wanted ? all.filter((row) => row.text.includes(wanted)) : all;
    this.rows.sort((one, other) => sign * compare(one[this.by], other[this.by]) || compare(one.key, other.key));
    this.count.textContent = fill(texts.shown, { shown: whole(this.rows.length), all: whole(all.length) });
    this.body.style.height = `${this.rows.length * ROW}px`;
    this.view.setAttribute("aria-rowcount", String(this.rows.length + 1));
    for (const button of this.view.querySelectorAll(".realtime-head button")) {
      const isOurs = button.dataset.by === this.by;
      button.parentElement.setAttribute("aria-sort", isOurs ? (this.isDescending ? "descending" : "ascending") : "none");
    }
  }

  /** The rows in view, and some beyond. */
  get visible() {
    const first = Math.max(0, Math.floor(this.view.scrollTop / ROW) - MARGIN);
    return [first, this.rows.slice(first, first + Math.ceil(this.view.clientHeight / ROW) + 2 * MARGIN)];
  }

  show() {
    const [first, rows] = this.visible;
    this.body.replaceChildren(...rows.map((row, place) => {
      const element = document.createElement("div");
      element.setAttribute("role", "row");
      element.style.top = `${(first + place) * ROW}px`;
      element.append(...this.cells(row).map((cell) => {
        const span = document.createElement("span");
        span.setAttribute("role", "cell");
        span.append(cell);
        if (typeof cell === "string") span.title = cell;
        return span;
      }));
      return element;
    }));
  }
}

const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

function check(row) {
  const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: selected.has(row.id) });
  box.setAttribute("aria-label", row.username || row.id);
  box.addEventListener("change", () => (box.checked ? selected.add(row.id) : selected.delete(row.id)));
  return box;
}

const seconds = (at) => Date.now() / 1000 - at;
const clients = new Table("clients", "connected_at", (row) => [
  check(row), row.username || row.user_id || row.phase, row.address, row.agent, row.encoding.split(".").at(-1),
  span(seconds(row.connected_at)), span(seconds(row.active_at)), whole(row.subscriptions), whole(row.frames_received),
  whole(row.frames_sent), whole(row.bytes_sent), whole(row.queued_frames),
], () => living().flatMap((node) => [...node.rows.values()]));

const places = new Table("places", "members", (row) => [row.name, texts[row.kind], whole(row.members), whole(row.position)], () => {
  const found = new Map();
  for (const row of living().flatMap((node) => node.places)) {
    const known = found.get(row.key);
    found.set(row.key, known ? { ...known, members: known.members + row.members, position: Math.max(known.position, row.position) } : row);
  }
  return [...found.values()];
});

// What processes tell

const named = (row) => ({ ...row, key: row.id, text: `${row.username} ${row.user_id} ${row.address} ${row.agent} ${row.id}`.toLowerCase() });

/** @param {Report} report */
function take(report) {
  const { numbers } = report;
  heardAt = Date.now();
  let node = nodes.get(numbers.node);
  const isNew = !node;
  if (isNew) {
    node = { numbers, before: null, at: 0, rows: new Map(), places: [], isStale: true, meanwhile: null };
    nodes.set(numbers.node, node);
  }
  Object.assign(node, { before: node.at ? node.numbers : null, numbers, at: heardAt });
  change(node.rows, report);
  for (const id of report.closed) selected.delete(id);
  node.meanwhile?.push(report);
  // Reports are not kept, so one may be missing, as after a reconnect.
  if (report.is_partial || node.rows.size !== numbers.gauges.connections) node.isStale = true;
  if (node.isStale && !node.meanwhile) readAll(numbers.node, node).catch(() => {}); // again with the next report
}

/** @param {Map<string, Row>} rows @param {Report} report */
function change(rows, report) {
  for (const row of report.opened) rows.set(row.id, named(row));
  for (const id of report.closed) rows.delete(id);
}

/** Read all clients of a process, and add what has changed meanwhile. */
async function readAll(name, node) {
  node.meanwhile = [];
  try {
    const found = await readClients(name);
    for (const report of node.meanwhile) change(found, report);
    node.isStale = node.meanwhile.some((report) => report.is_partial);
    node.rows = found;
  } finally {
    node.meanwhile = null;
  }
  clients.draw();
  await readPlaces(name);
}

async function readClients(node) {
  const found = new Map();
  for (let offset = 0, more = true; more; offset += config.page - OVERLAP) {
    const { rows } = await topic.call("inspect_node", { node, what: "clients", offset });
    for (const row of rows) found.set(row.id, named(row));
    more = rows.length === config.page;
  }
  return found;
}

async function readPlaces(node) {
  const { rows } = await topic.call("inspect_node", { node, what: "places" });
  const kept = nodes.get(node);
  if (kept) kept.places = rows.map((row) => ({ ...row, key: `${row.kind} ${row.name}`, text: `${row.kind} ${row.name}`.toLowerCase() }));
  places.draw();
}

/** Read the rows in view again: their numbers change all the time, and no others are looked at. */
async function refresh() {
  const ids = new Set(clients.visible[1].map((row) => row.id));
  for (const [name, node] of nodes) {
    const own = [...ids].filter((id) => node.rows.has(id));
    if (!own.length || Date.now() - node.at >= GONE) continue;
    const { rows } = await topic.call("inspect_node", { node: name, what: "clients", ids: own });
    for (const row of rows) if (node.rows.has(row.id)) node.rows.set(row.id, named(row));
  }
}

// The client

const { RealtimeClient } = await import(config.client);
const client = new RealtimeClient({ url: config.url, user: config.user });
const topic = client.topic(config.topic);
const look = () => topic.call("look").catch(() => {});
const state = root.querySelector(".realtime-state");

function tell(name) {
  state.dataset.state = name;
  state.textContent = name === "open" ? texts.open : texts.connecting;
}

/** The background of the page, for heads that stay above their rows: each theme names it differently. */
function background() {
  for (let one = root; one; one = one.parentElement) {
    const found = getComputedStyle(one).backgroundColor;
    if (found !== "transparent" && !found.endsWith(", 0)")) return found;
  }
  return "Canvas";
}

let refreshedAt = 0;
function tick() {
  for (const [name, node] of nodes) if (Date.now() - node.at > FORGOTTEN) nodes.delete(name);
  if (Date.now() - heardAt > GONE) void look(); // after a reconnect, perhaps to another process
  root.style.setProperty("--back", background());
  sample();
  drawNodes();
  clients.draw();
  if (document.visibilityState === "visible" && Date.now() - refreshedAt > REFRESH) {
    refreshedAt = Date.now();
    refresh().catch(() => {});
  }
}

root.querySelector(".realtime-tools[data-of=places]").addEventListener("submit", (event) => {
  event.preventDefault();
  for (const name of nodes.keys()) readPlaces(name).catch(() => {});
});

const tools = root.querySelector(".realtime-tools[data-of=clients]");
const choice = tools.querySelector("select");
choice?.append(...config.actions.map(([value, label]) => new Option(label, value)));
tools.addEventListener("submit", (event) => {
  event.preventDefault();
  const note = tools.querySelector(".realtime-note");
  note.textContent = selected.size > MOST ? fill(texts.many, { most: MOST }) : selected.size ? "" : texts.none;
  if (!choice || note.textContent) return;
  post(config.clients, choice.value, selected);
});

/** Begin an action of a list, which asks for confirmation, checks the permission and writes the log. */
function post(url, action, ids) {
  const form = Object.assign(document.createElement("form"), { method: "post", action: url, hidden: true });
  const add = (name, value) => form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
  add("csrfmiddlewaretoken", tools.querySelector("[name=csrfmiddlewaretoken]").value);
  add("action", action);
  for (const id of ids) add("_selected_action", id);
  document.body.append(form);
  form.submit();
}

root.hidden = false;
tell(client.state);
client.on("state", () => tell(client.state));
topic.on("report", take);
topic.on("refused", ({ error }) => { state.textContent = fill(texts.refusedHere, { reason: error.message }); });
await topic.subscribe();
await look();
setInterval(tick, 1000);
