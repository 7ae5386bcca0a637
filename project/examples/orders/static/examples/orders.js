import { act, connect, once } from "./live.js";

const page = document.getElementById("live");
const list = document.getElementById("orders");
const problem = document.getElementById("problem");
const csrf = document.querySelector("[name=csrfmiddlewaretoken]").value;
const STEPS = { paid: "Pay", sent: "Send" };

const client = connect();
const orders = client.topic(page.dataset.topic);
const shown = new Map(); // the elements of orders, by key

const draw = once(() => {
  for (const [key, element] of shown) {
    if (orders.values.has(key)) continue;
    element.remove();
    shown.delete(key);
  }
  for (const [key, order] of orders.values) show(elementOf(key), order);
  document.getElementById("empty").hidden = orders.values.size > 0;
});

orders.on("change", draw);

document.getElementById("place").addEventListener("click", () => post("place/"));

function elementOf(key) {
  if (!shown.has(key)) shown.set(key, made(key));
  return shown.get(key);
}

function made(key) {
  const element = document.getElementById("order").content.firstElementChild.cloneNode(true);
  for (const action of ["advance", "fail", "cancel"])
    element.querySelector(`[data-act=${action}]`).addEventListener("click", () => post(`${key}/${action}/`));
  element.querySelector(".number").textContent = `No. ${key}`;
  element.value = Number(key);
  list.insertBefore(element, [...list.children].find(({ value }) => value < element.value) ?? null); // newest first
  return element;
}

function show(element, { item, total, status, next_status: next }) {
  element.querySelector(".item").textContent = item;
  element.querySelector(".total").textContent = total;
  const step = element.querySelector(".step");
  if (step.textContent !== status) step.textContent = status;
  step.className = `step ${status}`;
  const advance = element.querySelector("[data-act=advance]");
  advance.hidden = !next;
  advance.textContent = STEPS[next] ?? "";
  element.querySelector("[data-act=fail]").hidden = status !== "placed";
}

// A plain view changes the row; what it changes comes back over the socket.
async function post(path) {
  problem.textContent = "";
  const answer = await fetch(path, { method: "POST", headers: { "X-CSRFToken": csrf } }).catch(() => null);
  if (!answer) problem.textContent = "The server cannot be reached.";
  else if (!answer.ok) problem.textContent = answer.status === 409 ? await answer.text() : "This order is gone.";
}

await act(() => orders.subscribe());
