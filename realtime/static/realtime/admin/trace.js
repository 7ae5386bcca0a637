// The page of a trace in the admin: a subscriber of its topic, drawn without a library.

import { fill } from "./live/format.js";
import { background } from "./live/theme.js";

/**
 * @typedef {{ number: number, at: number, event: string, connection?: string, events?: number, request_id?: string }} Line
 * @typedef {{ node: string, lines: Line[], is_over: boolean }} Batch
 */

const MOST = 1000; // lines that are shown
/** @type {Intl.DateTimeFormatOptions} */
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false };

const root = /** @type {HTMLElement} */ (document.getElementById("realtime-trace-page"));
const config = JSON.parse(document.getElementById("realtime-trace-config").textContent);
const texts = config.texts;
const view = root.querySelector(".realtime-trace-lines");
const body = root.querySelector("tbody");
const state = root.querySelector(".realtime-state");
const note = root.querySelector(".realtime-trace-note");
const endsAt = performance.now() + config.seconds * 1000;

const place = (line) => `${line.node}:${line.number}`;
const order = (one, other) => one.at - other.at || one.node.localeCompare(other.node) || one.number - other.number;

/** The lines that are shown, in order. @type {(Line & { node: string })[]} */
let lines = [];
let dropped = 0;
let isOver = false;
const seen = new Set();
/** The numbers of the lines of each process: lines that are missing between them were lost. */
const known = new Map();

/** @param {Batch} batch */
function take(batch) {
  const fresh = batch.lines.map((line) => ({ ...line, node: batch.node })).filter((line) => !seen.has(place(line)));
  for (const line of fresh) remember(line);
  const isNewest = !lines.length || fresh.every((line) => order(lines.at(-1), line) < 0);
  lines = [...lines, ...fresh].sort(order);
  const tooMany = Math.max(0, lines.length - MOST);
  lines = lines.slice(tooMany);
  dropped += tooMany;
  show(isNewest ? fresh : null);
  if (batch.is_over) finish();
}

function remember(line) {
  seen.add(place(line));
  const numbers = known.get(line.node) ?? { first: line.number, last: line.number, count: 0 };
  numbers.first = Math.min(numbers.first, line.number);
  numbers.last = Math.max(numbers.last, line.number);
  numbers.count += 1;
  known.set(line.node, numbers);
}

/** Add rows at the end, or draw all anew if some belong between the others. */
function show(fresh) {
  const isAtEnd = view.scrollTop + view.clientHeight >= view.scrollHeight - 40;
  if (fresh) body.append(...fresh.map(row));
  else body.replaceChildren(...lines.map(row));
  while (body.rows.length > MOST) body.rows[0].remove();
  if (isAtEnd) view.scrollTop = view.scrollHeight;
  const lost = [...known.values()].reduce((all, one) => all + one.last - one.first + 1 - one.count, 0);
  note.textContent = [dropped && fill(texts.dropped, { number: dropped }), lost && fill(texts.lost, { number: lost })]
    .filter(Boolean).join(" ");
}

function row(line) {
  const element = document.createElement("tr");
  element.dataset.event = line.event;
  const clock = new Date(line.at * 1000).toLocaleTimeString(undefined, CLOCK);
  const text = [
    fill(texts.events[line.event] ?? line.event, line),
    line.events && fill(texts.number, line),
    line.request_id && fill(texts.request, line),
  ].filter(Boolean).join(", ");
  element.append(...[clock, line.connection ?? line.node, text].map((cell) => {
    return Object.assign(document.createElement("td"), { textContent: cell });
  }));
  return element;
}

function finish() {
  if (isOver) return;
  isOver = true;
  state.dataset.state = "over";
  state.textContent = texts.over;
  root.querySelector("button")?.remove();
  setTimeout(() => client.close(), 2000); // the last lines of other processes may still come
}

function tick() {
  root.style.setProperty("--back", background(root));
  if (isOver) return;
  const left = Math.max(0, Math.round((endsAt - performance.now()) / 1000));
  state.dataset.state = client.state;
  const time = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  state.textContent = client.state === "open" ? fill(texts.left, { time }) : texts.connecting;
  if (!left) finish();
}

const { RealtimeClient } = await import(config.client);
const client = new RealtimeClient({ url: config.url, user: config.user });
const topic = client.topic(config.topic);
topic.on("lines", take);
topic.on("refused", ({ error }) => {
  finish();
  state.textContent = fill(texts.refused, { reason: error.message });
});
client.on("state", tick);
topic.on("state", () => {
  if (topic.state === "live") void topic.call("repeat").catch(() => {}); // the lines that were missed
});
tick();
setInterval(tick, 1000);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => requestAnimationFrame(tick));
await topic.subscribe();
