import { act, connect } from "./live.js";

const page = document.getElementById("live");
const cells = [...document.querySelectorAll("#board button")];
const status = document.getElementById("status");
const log = document.getElementById("log");
const buttons = Object.fromEntries(["join", "leave", "again"].map((name) => [name, document.getElementById(name)]));
const SIGNS = { x: "✕", o: "◯", ".": "" };
const WORDS = { x: "cross", o: "nought", ".": "free" };
const EMPTY = { cells: ".........", turn: "x", players: {}, line: [], is_over: false };

const client = connect();
const game = client.topic(page.dataset.topic);

game.on("seated", ({ mark, name }, { live }) => live && note(`${name} plays ${SIGNS[mark]}`));
game.on("moved", ({ mark, cell }, { live }) => live && note(`${SIGNS[mark]} to cell ${cell + 1}`));
game.on("left", ({ name }, { live }) => live && note(`${name} has left`));
game.on("change", draw);

const call = (name, data) => act(() => game.call(name, data));

for (const [name, button] of Object.entries(buttons)) button.addEventListener("click", () => call(name));
cells.forEach((cell, number) => cell.addEventListener("click", () => call("move", { cell: number })));

function draw() {
  const table = game.values.get("table") ?? EMPTY;
  const mine = Object.keys(table.players).find((mark) => table.players[mark].user_id === client.userId);
  cells.forEach((cell, number) => {
    const mark = table.cells[number];
    cell.textContent = SIGNS[mark];
    cell.className = table.line.includes(number) ? `${mark} won` : mark === "." ? "" : mark;
    cell.setAttribute("aria-label", `Cell ${number + 1}: ${WORDS[mark]}`);
  });
  for (const mark of ["x", "o"]) {
    const seat = document.getElementById(`seat-${mark}`);
    seat.querySelector("bdi").textContent = table.players[mark]?.name ?? "free";
    seat.classList.toggle("turn", !table.is_over && table.turn === mark);
    seat.classList.toggle("mine", mark === mine);
  }
  const isFull = Boolean(table.players.x && table.players.o);
  buttons.join.hidden = Boolean(mine) || isFull;
  buttons.leave.hidden = !mine;
  buttons.again.hidden = !mine || !table.is_over;
  status.textContent = told(table, mine, isFull);
}

function told(table, mine, isFull) {
  if (table.winner) return table.winner === mine ? "You have won!" : `${SIGNS[table.winner]} has won.`;
  if (table.is_over) return "A draw.";
  if (!isFull) return mine ? "Waiting for another player…" : "There is a free seat.";
  if (!mine) return `It is the turn of ${table.players[table.turn].name}.`;
  return table.turn === mine ? "It is your turn." : "The other player is thinking…";
}

function note(text) {
  const item = document.createElement("li");
  item.textContent = text;
  log.prepend(item);
  while (log.children.length > 12) log.lastElementChild.remove();
}

draw();
await act(() => game.subscribe());
