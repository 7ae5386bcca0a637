import { act, connect, once } from "./live.js";

const page = document.getElementById("live");
const metrics = page.dataset.metrics.split(" ");
const rows = document.getElementById("rows");
const empty = document.getElementById("empty");
const rate = document.getElementById("rate");
const RATE_SECONDS = 2;

const client = connect();
const dashboard = client.topic(page.dataset.topic);
const cells = new Map(); // key → cell
const changed = new Set(); // keys that came since the last frame
let received = 0;

const draw = once(() => {
  for (const key of changed) show(key, dashboard.values.get(key));
  changed.clear();
  empty.hidden = dashboard.values.size > 0;
});

dashboard.on("event", ({ key, live }) => {
  changed.add(key);
  if (live) received++;
  draw();
});
dashboard.on("reset", () => {
  rows.replaceChildren();
  cells.clear();
  draw();
});

setInterval(() => {
  rate.textContent = Math.round(received / RATE_SECONDS);
  received = 0;
}, RATE_SECONDS * 1000);

function show(key, value) {
  if (!value) return; // it was deleted
  const cell = cells.get(key) ?? made(key);
  cell.textContent = value.percent.toFixed(0);
  cell.style.setProperty("--load", `${value.percent}%`);
  cell.className = value.percent > 80 ? "high" : "";
}

function made(key) {
  const [machine, metric] = key.split("/");
  const row = document.getElementById(machine) ?? rowOf(machine);
  const cell = row.cells[1 + metrics.indexOf(metric)];
  cells.set(key, cell);
  return cell;
}

function rowOf(machine) {
  const row = document.createElement("tr");
  row.id = machine;
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = machine;
  row.append(head, ...metrics.map(() => document.createElement("td")));
  const next = [...rows.children].find((one) => one.id > machine);
  rows.insertBefore(row, next ?? null);
  return row;
}

await act(() => dashboard.subscribe());
