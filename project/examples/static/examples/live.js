// What the pages of the examples share: a client of the topics, its state, and what calls answer.

import { RealtimeClient } from "../realtime/topics.js";

const KEY = "realtime.example.guest";
const TEXTS = { connecting: "Connecting…", open: "Connected", waiting: "Connection lost. Trying again…", closed: "Closed" };
const state = document.getElementById("state");
const problem = document.getElementById("problem");

/** Return a client of the page's socket, which shows its state. Each tab is a guest of its own. */
export function connect(options = {}) {
  const url = document.getElementById("example").dataset.socket;
  const client = new RealtimeClient({ url, token: () => kept(), ...options });
  client.on("state", ({ state: name, code, reason }) => {
    state.textContent = (name === "closed" && reason) || TEXTS[name];
    state.classList.toggle("open", name === "open");
    if (name === "closed" && code === 4500) keep(null);
  });
  client.on("welcome", ({ guest_token: token }) => token && keep(token));
  return client;
}

/** Call `act`, and show why it was refused. Returns its result, or undefined. */
export async function act(action) {
  problem.textContent = "";
  try {
    return await action();
  } catch (error) {
    problem.textContent = error.message;
  }
}

/** Call `draw` before the next frame, however often this is called until then. */
export function once(draw) {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      draw();
    });
  };
}

function kept() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function keep(token) {
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Without storage, a guest exists as long as the page.
  }
}
