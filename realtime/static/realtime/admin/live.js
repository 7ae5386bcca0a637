// The live page of the admin: a subscriber of the topic "realtime/live", drawn without a library.

import { Chart } from "./live/charts.js";
import { fill, size, span, speed, sum, whole } from "./live/format.js";
import { Places } from "./live/places.js";
import { STEP, Series, quantile } from "./live/series.js";
import { Table } from "./live/table.js";
import { background } from "./live/theme.js";

/**
 * @typedef {{ numbers: any, opened: Row[], closed: string[], is_partial: boolean, number: number,
 *   steps: any[], moved: any[] }} Report
 * @typedef {import("./live/table.js").Row} Row
 * @typedef {{ numbers: any, before: any, at: number, number: number, rows: Map<string, Row>,
 *   isStale: boolean, meanwhile: Report[] | null }} Node
 */

const GONE = 5000; // without a report, a process counts as gone
const FORGOTTEN = 60000;
const REFRESH = 2; // seconds between two questions about the rows in view, and about the next rows that are not
const COUNTED = 10; // seconds between two counts of the members of the rooms in view
const MOST = 500; // clients of one action
const OVERLAP = 50; // of two pages of clients: those that end between the two questions move the rest
const ACTIVITY = "id user_id username phase active_at subscriptions places frames_received bytes_received frames_sent bytes_sent queued_frames queued_bytes lag".split(" ");

const root = /** @type {HTMLElement} */ (document.getElementById("realtime-live-page"));
const config = JSON.parse(document.getElementById("realtime-live-config").textContent);
const texts = config.texts;
/** @type {Map<string, Node>} */
const nodes = new Map();
/** @type {Set<string>} */
const selected = new Set();
const [series, rooms] = [new Series(), new Places()];
/** @type {Map<string, number>} */
let members = new Map();
let heardAt = 0;
let skew = 0; // of the clock of this machine, in seconds; all times here are those of the servers

const now = () => Date.now() / 1000 + skew;
const living = () => [...nodes.values()].filter((node) => Date.now() - node.at < GONE);

// Rates

/** How fast a total has grown between the last two reports of a process. */
function rate(node, read) {
  if (!node.before) return 0;
  const seconds = node.numbers.at - node.before.at;
  return seconds > 0 ? Math.max(0, read(node.numbers) - read(node.before)) / seconds : 0;
}

const BOUNDS = [...config.bounds, 2 * config.bounds.at(-1)]; // in milliseconds; the last bucket has none of its own

/** The times to commit of the last second, by bucket. */
function lastAcks() {
  return BOUNDS.map((_, place) => sum(living().map((node) => {
    const [later, earlier] = [node.numbers, node.before].map((one) => one?.totals.acks.buckets[place] ?? 0);
    return node.before ? Math.max(0, later - earlier) : 0;
  })));
}

const total = (read) => sum(living().map((node) => read(node.numbers)));
const rates = (read) => sum(living().map((node) => rate(node, read)));
const percentiles = (acks) => [quantile(acks, BOUNDS, 0.5), quantile(acks, BOUNDS, 0.99)];
const perSecond = (number) => number / STEP;

// Charts

const CHARTS = [
  { title: texts.connections, read: ({ numbers }) => [numbers[0]], now: () => [total((one) => one.gauges.connections)] },
  {
    title: texts.messages,
    read: ({ numbers }) => [perSecond(numbers[2]), perSecond(numbers[3])],
    now: () => [rates((one) => one.totals.frames_received), rates((one) => one.totals.frames_sent)],
  },
  { title: texts.deliveries, read: ({ numbers }) => [perSecond(numbers[4])], now: () => [rates((one) => one.totals.deliveries)] },
  { title: texts.commit, read: ({ acks }) => percentiles(acks), now: () => percentiles(lastAcks()) },
  { title: texts.waiting, read: ({ numbers }) => [numbers[1]], now: () => [total((one) => one.gauges.queued_frames)] },
  { title: texts.repairs, read: ({ numbers }) => [numbers[5]] },
  { title: texts.refused, read: ({ numbers }) => [numbers[6]] },
  { title: texts.slow, read: ({ numbers }) => [numbers[7]] },
].map((options) => new Chart(root.querySelector(".realtime-charts"), options, texts));

function drawCharts() {
  const sums = series.sums(now(), living().map((node) => node.numbers.node));
  for (const chart of CHARTS) chart.draw(sums, now());
}

// Totals

function drawTotals() {
  const users = new Set(living().flatMap((node) => [...node.rows.values()].map((row) => row.user_id || row.id)));
  const open = [...rooms.rows.values()].filter((row) => row.kind === "room").length;
  const numbers = {
    clients: total((one) => one.gauges.connections), users: users.size, processes: living().length,
    rooms: open, topics: rooms.rows.size - open,
  };
  for (const [name, number] of Object.entries(numbers)) {
    root.querySelector(`.realtime-totals [data-of=${name}]`).textContent = whole(number);
  }
}

// Processes

const TRAFFIC = ["frames_received", "frames_sent", "deliveries"].map((name) => (one) => one.totals[name]);
const BUTTON = config.nodes ? [null] : []; // the cell of the button that drains a process
const BUTTON_COLUMN = 6;
/** @type {Map<string, HTMLTableRowElement>} */
const lines = new Map();

function drawNodes() {
  for (const [name, line] of lines) if (name && !nodes.has(name)) { line.remove(); lines.delete(name); }
  for (const [name, node] of nodes) {
    const one = node.numbers;
    const line = write(lines, name, root.querySelector(".realtime-nodes tbody"), [
      one.node, one.hostname, one.pid, one.program, one.version, stateOf(node), ...BUTTON, span(one.at - one.started_at),
      `${whole(100 * rate(node, (numbers) => numbers.cpu_seconds))} %`, whole(one.gauges.connections),
      ...TRAFFIC.map((read) => speed(rate(node, read))), ...TRAFFIC.map((read) => whole(read(one))),
    ]);
    if (config.nodes) drawButton(line, name, node);
  }
  write(lines, "", root.querySelector(".realtime-nodes tfoot"), [
    texts.all, "", "", "", "", "", ...BUTTON, "", `${whole(100 * rates((one) => one.cpu_seconds))} %`, whole(total((one) => one.gauges.connections)),
    ...TRAFFIC.map((read) => speed(rates(read))), ...TRAFFIC.map((read) => whole(total(read))),
  ]);
}

/** Write the cells of a row, which stays the same element; null keeps a cell as it is. */
function write(known, name, parent, cells) {
  const line = known.get(name) ?? parent.insertRow();
  known.set(name, line);
  cells.forEach((text, column) => {
    const cell = line.cells[column] ?? line.insertCell();
    if (text !== null && cell.textContent !== String(text)) cell.textContent = text;
  });
  return line;
}

/** Show the button that drains a process, or has it serve again; the list of processes asks first. */
function drawButton(line, name, node) {
  const one = node.numbers;
  const button = line.querySelector("button") ?? line.cells[BUTTON_COLUMN].appendChild(newButton(name));
  button.textContent = one.is_draining ? config.nodes.serve : config.nodes.drain;
  button.disabled = Date.now() - node.at >= GONE || (one.is_stopping && !one.is_draining);
}

function newButton(name) {
  const button = Object.assign(document.createElement("button"), { type: "button" });
  button.addEventListener("click", () => post(config.nodes.url, nodes.get(name)?.numbers.is_draining ? "serve" : "drain", [name]));
  return button;
}

function stateOf(node) {
  if (Date.now() - node.at >= GONE) return texts.gone;
  if (node.numbers.is_draining) return texts.draining;
  if (node.numbers.is_stopping) return texts.stopping;
  return node.numbers.is_current ? texts.running : texts.late;
}

// Clients, rooms and topics

function box(row) {
  const made = Object.assign(document.createElement("input"), { type: "checkbox", checked: selected.has(row.id) });
  made.setAttribute("aria-label", row.username || row.id);
  made.addEventListener("change", () => (made.checked ? selected.add(row.id) : selected.delete(row.id)));
  return made;
}

/** The names of some rooms and topics, and how many more there are. */
function placesOf(row) {
  const more = row.subscriptions - row.places.length;
  return row.places.join(", ") + (more > 0 ? ` + ${more}` : "");
}

const count = (shown, all) => fill(texts.shown, { shown: whole(shown), all: whole(all) });
const clients = new Table(root, {
  of: "clients",
  by: "connected_at",
  box,
  count,
  read: () => living().flatMap((node) => [...node.rows.values()]),
  cells: (row) => [
    row.username || row.user_id || row.phase, placesOf(row), row.address, row.agent, row.encoding.split(".").at(-1),
    span(now() - row.connected_at), span(now() - row.active_at), whole(row.frames_received), whole(row.frames_sent),
    size(row.bytes_received), size(row.bytes_sent), whole(row.queued_frames), size(row.queued_bytes), whole(row.lag),
  ],
});
const places = new Table(root, {
  of: "places",
  by: "members",
  count,
  read: () => [...rooms.rows.values()],
  cells: (row) => [
    row.name, texts[row.kind], row.present === null ? "–" : whole(row.present), membersOf(row),
    whole(row.members), speed(row.rate), whole(row.position),
  ],
});

/** The number of members of a room; a topic has none. */
function membersOf(row) {
  return row.kind === "room" ? whole(members.get(row.name) ?? 0) : "–";
}

// What processes tell

function named(row) {
  const places = row.places ?? []; // an older process does not tell them
  const words = [row.username, row.user_id, row.address, row.agent, row.id, ...places];
  return { ...row, places, lag: row.lag ?? 0, key: row.id, text: words.join(" ").toLowerCase() };
}

/** @param {Report} report */
function take(report) {
  const { numbers } = report;
  if (!nodes.size) skew = numbers.at - Date.now() / 1000;
  heardAt = Date.now();
  const known = nodes.get(numbers.node);
  const node = known ?? { numbers, before: null, at: 0, number: 0, rows: new Map(), isStale: true, meanwhile: null };
  nodes.set(numbers.node, node);
  // Reports are not kept, so one may be missing, as after a reconnect.
  const isMissing = report.number !== undefined && report.number !== node.number + 1;
  const isHole = series.add(numbers.node, report.steps ?? []);
  Object.assign(node, { before: known ? node.numbers : null, numbers, at: heardAt, number: report.number });
  change(node, report);
  node.meanwhile?.push(report);
  if (isMissing || isHole || report.is_partial || node.rows.size !== numbers.gauges.connections) node.isStale = true;
  if (node.isStale && !node.meanwhile) readAll(numbers.node, node);
}

/** @param {Node} node @param {Report} report */
function change(node, report) {
  for (const row of report.opened) node.rows.set(row.id, named(row));
  for (const id of report.closed) {
    node.rows.delete(id);
    selected.delete(id);
  }
  rooms.take(report.numbers.node, report.moved ?? []);
}

let reading = Promise.resolve(); // one process is read after the other

/** Read all of a process, and add what has changed meanwhile; what fails is tried again with the next report. */
function readAll(name, node) {
  node.meanwhile = [];
  reading = reading.then(() => read(name, node)).catch(() => {}).finally(() => { node.meanwhile = null; });
}

async function read(name, node) {
  node.meanwhile = [];
  const found = await readClients(name);
  const parts = await readPlaces(name);
  if (nodes.get(name) !== node) return;
  for (const id of node.rows.keys()) if (!found.has(id)) selected.delete(id);
  node.rows = found;
  rooms.replace(name, parts);
  for (const report of node.meanwhile) change(node, report);
  node.isStale = node.meanwhile.some((report) => report.is_partial);
  clients.draw();
  places.draw();
  await readPast(name, node);
}

const ask = async (node, what, more = {}) => (await topic.call("inspect_node", { node, what, ...more })).rows;

async function readClients(node) {
  const found = new Map();
  for (let offset = 0, more = true; more; offset += config.page - OVERLAP) {
    const rows = await ask(node, "clients", { offset });
    for (const row of rows) found.set(row.id, named(row));
    more = rows.length === config.page;
  }
  return found;
}

async function readPlaces(node) {
  const found = [];
  for (let more = true; more;) {
    const rows = await ask(node, "places", { offset: found.length });
    found.push(...rows);
    more = rows.length === config.places;
  }
  return found;
}

/** Read the last 15 minutes of a process. The one that runs longest knows the most of those that have ended. */
async function readPast(name, node) {
  const isOldest = living().every((other) => other.numbers.started_at >= node.numbers.started_at);
  const found = [await ask(name, "past"), isOldest ? await ask(name, "ended") : []].flat();
  for (const past of found) series.add(past.node, past.steps);
  drawCharts();
}

/** Read the rows in view again: their numbers change all the time. */
async function refreshVisible() {
  const ids = clients.visible[1].map((row) => row.id);
  for (const [name, node] of nodes) {
    const own = ids.filter((id) => node.rows.has(id));
    if (own.length && Date.now() - node.at < GONE) update(node, await ask(name, "activity", { ids: own }));
  }
}

const turn = { node: "", offset: 0 };

/** Read the next part of all rows, so that the order is right in a while for those that are not in view. */
async function refreshNext() {
  const names = living().map((node) => node.numbers.node);
  if (!names.length) return;
  if (!names.includes(turn.node)) Object.assign(turn, { node: names[0], offset: 0 });
  const rows = await ask(turn.node, "activity", { offset: turn.offset });
  const node = nodes.get(turn.node);
  if (node) update(node, rows);
  turn.offset += rows.length;
  if (rows.length < config.page) Object.assign(turn, { node: names[(names.indexOf(turn.node) + 1) % names.length], offset: 0 });
}

function update(node, rows) {
  for (const values of rows) {
    const row = node.rows.get(values[0]);
    if (row) node.rows.set(row.id, named({ ...row, ...Object.fromEntries(ACTIVITY.map((name, place) => [name, values[place]])) }));
  }
}

async function countMembers() {
  const names = places.visible[1].filter((row) => row.kind === "room").map((row) => row.name);
  if (names.length) members = new Map(Object.entries((await topic.call("count_members", { rooms: names })).counts));
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

/** Forget processes that have gone; their steps stay in the charts. */
function forget() {
  for (const [name, node] of nodes) {
    if (Date.now() - node.at < GONE) continue;
    rooms.forget(name);
    node.isStale = true; // if it comes back
    if (Date.now() - node.at < FORGOTTEN) continue;
    for (const id of node.rows.keys()) selected.delete(id);
    nodes.delete(name);
  }
  series.trim(now());
}

/** Run something now and then, and the first time soon; what fails is tried again the next time. */
function each(seconds, work) {
  let [isRunning, due] = [false, 0];
  return () => {
    if (isRunning || Date.now() < due) return;
    [isRunning, due] = [true, Date.now() + seconds * 1000];
    work().catch(() => {}).finally(() => { isRunning = false; });
  };
}

const REFRESHES = [each(REFRESH, refreshVisible), each(REFRESH, refreshNext), each(COUNTED, countMembers)];

function tick() {
  forget();
  rooms.tick();
  if (Date.now() - heardAt > GONE) void look(); // after a reconnect, perhaps to another process
  if (document.visibilityState !== "visible") return;
  root.style.setProperty("--back", background(root));
  drawCharts();
  drawTotals();
  drawNodes();
  clients.draw();
  places.draw();
  for (const refresh of REFRESHES) refresh();
}

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
tick();
setInterval(tick, 1000);
