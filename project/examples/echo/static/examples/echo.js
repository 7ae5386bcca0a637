import { add, connect } from "./socket.js";

const form = document.getElementById("form");
const text = document.getElementById("text");
const sent = [];

const send = connect((frame) => {
  const milliseconds = (performance.now() - sent.shift()).toFixed(1);
  add(described(frame), `after ${milliseconds} ms`);
});

function described(frame) {
  if (typeof frame === "string") return `Text: ${frame}`;
  const bytes = Array.from(new Uint8Array(frame), (one) => one.toString(16).padStart(2, "0"));
  return `Bytes: ${bytes.join(" ")}`;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  sent.push(performance.now());
  send(event.submitter.value === "bytes" ? new TextEncoder().encode(text.value) : text.value);
});
