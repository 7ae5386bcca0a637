import { add, connect } from "./socket.js";

const MANY = 200;
const form = document.getElementById("form");
const lines = document.getElementById("texts");

const send = connect((frame) => {
  const { texts, message } = JSON.parse(frame);
  add(texts ? `Batch of ${texts.length}:` : "Error:", texts ? texts.join(" ") : message);
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const isMany = event.submitter.value === "many";
  const texts = isMany
    ? Array.from({ length: MANY }, (_, number) => `text ${number + 1}`)
    : lines.value.split("\n").filter((line) => line.trim());
  for (const one of texts) send(one);
});
