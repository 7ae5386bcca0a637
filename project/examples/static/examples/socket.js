// A raw WebSocket that comes back, for examples that do not speak protocol v1.

const WAIT = 1000;

/** Connect to the socket of this page, and show its state; `receive` gets each frame. */
export function connect(receive) {
  const page = document.getElementById("example");
  const state = document.getElementById("state");
  const buttons = page.querySelectorAll("form button");
  const url = new URL(page.dataset.socket, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  let socket;

  function show(text, isOpen) {
    state.textContent = text;
    state.classList.toggle("open", isOpen);
    for (const button of buttons) button.disabled = !isOpen;
  }

  function open() {
    socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => show("Connected", true);
    socket.onmessage = (event) => receive(event.data);
    socket.onclose = ({ code, reason }) => {
      const isOver = code >= 4500;
      show(`Closed with ${code}${reason && `: ${reason}`}`, false);
      if (!isOver) setTimeout(open, WAIT * (1 + Math.random()));
    };
  }

  open();
  return (frame) => socket.send(frame);
}

/** Add a line to the answers, the newest first. */
export function add(...texts) {
  const item = document.createElement("li");
  for (const text of texts) {
    const part = document.createElement("bdi");
    part.textContent = text;
    item.append(part, " ");
  }
  const list = document.getElementById("frames");
  list.prepend(item);
  while (list.children.length > 100) list.lastElementChild.remove();
}
