import { act, connect, once } from "./live.js";

const page = document.getElementById("live");
const wall = document.getElementById("wall");
const form = document.getElementById("form");
const text = document.getElementById("text");
const CURSOR_SECONDS = 4; // the lifetime of a cursor that does not move
const POINT_MILLISECONDS = 70;
const STEP = 0.02;

const client = connect();
const board = client.topic(page.dataset.topic);
const cursors = client.topic(page.dataset.cursors);
const shown = new Map(); // the elements of notes, by key
const pointers = new Map(); // user id → { element, timer }
let dragged; // { key, x, y } while the pointer moves a note

const draw = once(() => {
  for (const [key, element] of shown) {
    if (board.values.has(key)) continue;
    element.remove();
    shown.delete(key);
  }
  for (const [key, note] of board.values) place(elementOf(key), { ...note, ...(dragged?.key === key && dragged) });
  document.getElementById("count").textContent = board.values.size;
});

board.on("change", draw);
cursors.on("cursor", ({ user_id, name, x, y }) => user_id !== client.userId && point(user_id, name, x, y));

// Notes

function elementOf(key) {
  if (!shown.has(key)) shown.set(key, made(key));
  return shown.get(key);
}

function made(key) {
  const element = document.getElementById("note").content.firstElementChild.cloneNode(true);
  element.dataset.key = key;
  element.querySelector("button").addEventListener("click", () => act(() => board.call("remove", { id: key })));
  element.addEventListener("pointerdown", (event) => lift(event, key, element));
  element.addEventListener("keydown", (event) => nudge(event, key));
  wall.append(element);
  return element;
}

function place(element, { x, y, text: words, colour, author }) {
  element.querySelector("p").textContent = words;
  element.querySelector("small bdi").textContent = author;
  element.querySelector("button").setAttribute("aria-label", `Remove the note: ${words}`);
  element.className = `note ${colour}`;
  element.setAttribute("aria-label", `Note of ${author}: ${words}. Arrow keys move it.`);
  at(element, x, y);
}

const move = (key, x, y) =>
  act(() => board.call("put", { id: key, x, y, text: board.values.get(key).text, colour: board.values.get(key).colour }));

function lift(event, key, element) {
  if (event.target.closest("button")) return;
  event.preventDefault();
  element.focus();
  element.setPointerCapture(event.pointerId);
  dragged = { key, ...placeOf(event) };
  element.onpointermove = (step) => {
    dragged = { key, ...placeOf(step) };
    draw();
  };
  element.onpointerup = element.onpointercancel = async () => {
    element.onpointermove = element.onpointerup = element.onpointercancel = null;
    const { x, y } = dragged;
    await move(key, x, y);
    dragged = null;
    draw();
  };
}

function nudge(event, key) {
  const { x, y } = board.values.get(key) ?? {};
  const steps = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
  const step = steps[event.key];
  if (x === undefined || !step) return;
  event.preventDefault();
  move(key, within(x + step[0]), within(y + step[1]));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const colour = new FormData(form).get("colour");
  const [x, y] = [0.15 + Math.random() * 0.7, 0.15 + Math.random() * 0.7];
  if (await act(() => board.call("put", { x, y, text: text.value.trim(), colour }))) text.value = "";
});

// Cursors: a plain event each, and gone if none follows

let pointedAt = 0;
wall.addEventListener("pointermove", (event) => {
  if (performance.now() - pointedAt < POINT_MILLISECONDS || client.state !== "open") return;
  pointedAt = performance.now();
  cursors.call("point", placeOf(event)).catch(() => {}); // a lost cursor is followed by the next
});

function point(userId, name, x, y) {
  const known = pointers.get(userId) ?? { element: document.getElementById("pointer").content.firstElementChild.cloneNode(true) };
  clearTimeout(known.timer);
  known.element.querySelector("bdi").textContent = name;
  at(known.element, x, y);
  if (!known.element.isConnected) wall.append(known.element);
  known.timer = setTimeout(() => {
    known.element.remove();
    pointers.delete(userId);
  }, CURSOR_SECONDS * 1000);
  pointers.set(userId, known);
}

// Places: parts of the width and height of the wall

const within = (value) => Math.min(1, Math.max(0, value));

function placeOf({ clientX, clientY }) {
  const { left, top, width, height } = wall.getBoundingClientRect();
  return { x: within((clientX - left) / width), y: within((clientY - top) / height) };
}

function at(element, x, y) {
  element.style.left = `${x * 100}%`;
  element.style.top = `${y * 100}%`;
}

await act(() => Promise.all([board.subscribe(), cursors.subscribe()]));
