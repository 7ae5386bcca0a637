import { RealtimeClient } from "../realtime/topics.js";
import { act, connect, once } from "./live.js";

const page = document.getElementById("live");
const list = document.getElementById("devices");
const add = document.getElementById("add");
const running = document.getElementById("running");
const REPORT_MILLISECONDS = 40;

const client = connect();
const telemetry = client.topic(page.dataset.topic);
const shown = new Map(); // the elements of devices, by name
const own = new Map(); // the clients of the devices that this page plays

const draw = once(() => {
  for (const [name, element] of shown) {
    if (telemetry.values.has(name)) continue;
    element.remove();
    shown.delete(name);
  }
  for (const name of [...telemetry.values.keys()].sort()) show(elementOf(name), name, telemetry.values.get(name));
  running.textContent = own.size;
});

telemetry.on("change", draw);

add.addEventListener("click", async () => {
  const added = await act(() => telemetry.call("add"));
  if (added) play(added);
});

function elementOf(name) {
  if (shown.has(name)) return shown.get(name);
  const element = document.getElementById("device").content.firstElementChild.cloneNode(true);
  element.querySelector(".name").textContent = name;
  shown.set(name, element);
  list.append(element);
  return element;
}

function show(element, name, { celsius, batch, total }) {
  element.querySelector(".celsius").textContent = celsius === null ? "–" : `${celsius.toFixed(1)} °C`;
  element.querySelector("meter").value = celsius ?? 0;
  element.querySelector(".total").textContent = `${total} values, ${batch} in the last batch`;
  element.classList.toggle("own", own.has(name));
}

/** Be a device: identify on each connection, and report a value 25 times a second. */
function play({ name, token }) {
  const device = new RealtimeClient({ url: page.dataset.devices });
  let celsius = 15 + Math.random() * 20;
  const report = () => {
    celsius = Math.min(60, Math.max(-10, celsius + Math.random() - 0.5));
    device.request({ type: "report", celsius }).catch(() => {}); // the next value follows soon
  };
  let timer;
  device.on("state", async ({ state }) => {
    clearInterval(timer);
    if (state !== "open") return;
    await device.request({ type: "identify", token }).then(
      () => (timer = setInterval(report, REPORT_MILLISECONDS)),
      () => device.close(),
    );
  });
  own.set(name, device);
  device.connect();
  draw();
}

await act(() => telemetry.subscribe());
