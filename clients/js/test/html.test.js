/** Live elements: what they show, also those that come late, and what is let go of with them. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { FakeTopic, open, settled, signed } from "./page.js";
import { Elements } from "../src/html/elements.js";
import { inherit, parse, takeKnown } from "../src/html/fragment.js";
import { LiveElement } from "../src/html/live_element.js";
import { morph } from "../src/html/morph.js";
import { momentOf, readSigned } from "../src/html/signed.js";

const TOPIC = ["data-realtime"];

let topics, told;

/** A page whose elements append what their topic publishes, or are replaced by it. */
function show(body) {
  const page = open(body);
  topics = new Map();
  told = [];
  const topic = (path) => topics.get(path) ?? topics.set(path, new FakeTopic()).get(path);
  for (const name of ["refresh", "expired", "refused"])
    page.addEventListener(`realtime:${name}`, (event) => (event.preventDefault(), told.push(`${name} ${event.target.id}`)));
  const how = { names: (element) => element.getAttribute("data-names"), swap, remove: (element) => element.remove(), isRefetched: true };
  const signature = (element) => readSigned(element.getAttribute("data-realtime")).signature;
  new Elements({ topic }, TOPIC, (element) => new LiveElement(element, !!signature(element), how)).start();
  return page;
}

function swap(element, html) {
  const content = parse(html);
  for (const [known, fresh] of takeKnown(content)) {
    inherit(known, fresh, TOPIC, []);
    known.replaceWith(fresh);
  }
  element.append(content);
}

const only = () => topics.get("order/7");
const texts = (page) => page.body.textContent.trim();

beforeEach(() => mock.timers.reset());

test("a signed value is the name of a topic and a signature", () => {
  assert.deepEqual(readSigned("a b/7 x:y:z"), { path: "a b/7", signature: "x:y:z" });
  assert.deepEqual(readSigned(" order/7 "), { path: "order/7", signature: undefined });
  assert.deepEqual(readSigned("a b/7"), { path: "a b/7", signature: undefined });
  assert.equal(readSigned("").path, undefined);
});

test("the moment of a signature leaves a margin for clocks", () => {
  assert.equal(momentOf(readSigned(signed(1000)).signature), 998_000);
  for (const text of [undefined, "", "x", "W10:1:x", ".eJx:1:x"]) assert.equal(momentOf(text), 0);
});

test("an element shows what is published, once by its id", () => {
  const page = show(`<ul id="list" data-realtime="${signed(1000)}"></ul>`);
  for (const text of ["one", "two", "two"]) only().html(`<li id="a">${text}</li>`);
  only().html("<li>b</li>");
  assert.equal(page.getElementById("list").innerHTML, '<li id="a">two</li><li>b</li>');
});

test("rows of tables are parsed, and scripts and images are not executed or loaded", () => {
  const content = parse("<tr><td>1</td></tr>");
  assert.equal(content.firstElementChild.nodeName, "TR");
  assert.equal(parse("<script>fail()</script><img src=x>").children.length, 2);
});

test("a key that is deleted takes its element along, inside of the live one only", () => {
  const page = show(`<p id="out"></p><ul data-realtime="${signed(1000)}"><li id="in"></li></ul>`);
  for (const key of ["in", "out", "none"]) only().html("", { key, deleted: true });
  assert.equal(page.getElementById("in"), null);
  assert.notEqual(page.getElementById("out"), null);
});

test("an element may show some parts of the templates only", () => {
  const page = show(`<p data-realtime="${signed(1000)}" data-names="card line"></p>`);
  for (const name of ["card", "other", "", "line"]) only().html(`${name};`, { name });
  assert.equal(texts(page), "card;line;");
});

test("two entries in one task reach the element that has replaced the first one", () => {
  const page = show(`<p id="card" data-realtime="${signed(1000)}">0</p>`);
  for (const number of [1, 2, 3]) only().html(`<p id="card">${number}</p>`);
  assert.equal(texts(page), "3");
  assert.equal(page.getElementById("card").getAttribute("data-realtime"), signed(1000));
});

test("a hundred replacements hold one subscription, and only the last element is listened to", async () => {
  const page = show(`<p id="card" data-realtime="${signed(1000)}">0</p>`);
  for (let number = 0; number < 100; number++) only().html(`<p id="card">${number}</p>`);
  await settled();
  mock.timers.enable({ apis: ["setTimeout"] });
  page.getElementById("card").remove();
  await Promise.resolve();
  assert.ok(only().isHeld);
  mock.timers.tick(1000);
  assert.ok(!only().isHeld);
  assert.ok(!only().isHeard);
});

test("an element that comes back within a second keeps the subscription", async () => {
  const page = show(`<p id="card" data-realtime="${signed(1000)}">0</p>`);
  const card = page.getElementById("card");
  mock.timers.enable({ apis: ["setTimeout"] });
  card.remove();
  await Promise.resolve();
  page.body.append(card);
  await Promise.resolve();
  mock.timers.tick(5000);
  assert.ok(only().isHeld);
});

test("an element that comes late gets what was published since it was rendered", async () => {
  const page = show(`<p data-realtime="${signed(1000)}"></p>`);
  for (const at of [1001, 1010, 1020]) only().html(`${at};`, { at });
  const late = page.createElement("p");
  late.setAttribute("data-realtime", signed(1012));
  page.body.append(late);
  await settled();
  assert.equal(late.textContent, "1010;1020;"); // with two seconds for clocks
  assert.equal(page.querySelector("p").textContent, "1001;1010;1020;");
});

test("an element that was fetched again goes on from its own moment", async () => {
  const page = show(`<p id="card" data-realtime="${signed(1000)}">0</p>`);
  only().html('<p id="card">new</p>', { at: 1010 });
  const fetched = parse(`<p id="card" data-realtime="${signed(1011)}">old</p>`);
  page.getElementById("card").replaceWith(fetched);
  await settled();
  assert.equal(texts(page), "new");
});

test("an element is stale if what it may lack is gone", async () => {
  const page = show(`<p data-realtime="${signed(1000)}"></p>`);
  for (const at of [1001, 1100]) only().html(`${at};`, { at });
  page.body.append(parse(`<p id="late" data-realtime="${signed(1001)}"></p>`));
  await settled();
  assert.deepEqual(told, ["refresh late"]);
});

test("a topic that a script follows already has sent entries that an element lacks", async () => {
  const page = show("");
  topics.set("order/7", new FakeTopic()).get("order/7").position = { seq: 9, epoch: "e" };
  for (const id of ["first", "second"]) page.body.append(parse(`<p id="${id}" data-realtime="${signed(1000)}"></p>`));
  await settled();
  assert.deepEqual(told, ["refresh first"]);
});

test("the oldest moment of a page is that of its subscription", () => {
  show(`<p data-realtime="${signed(1005)}"></p><p data-realtime="${signed(1000)}"></p><p data-realtime="${signed(1009)}"></p>`);
  const used = only().subscribed.map(({ signature }) => signature && momentOf(signature) / 1000);
  assert.deepEqual(used, [1003, 998, undefined]);
});

test("another topic in the attribute replaces the first one", async () => {
  const page = show(`<p data-realtime="${signed(1000)}"></p>`);
  mock.timers.enable({ apis: ["setTimeout"] });
  page.querySelector("p").setAttribute("data-realtime", signed(1000, "order/8"));
  await Promise.resolve();
  mock.timers.tick(1000);
  topics.get("order/8").html("eight");
  assert.equal(texts(page), "eight");
  assert.ok(!only().isHeld);
});

test("an attribute without a topic is none", async () => {
  const page = show('<p data-realtime=""></p><p data-realtime></p>');
  assert.equal(topics.size, 0);
  page.querySelector("p").setAttribute("data-realtime", signed(1000));
  await settled();
  assert.ok(only().isHeld);
});

test("a refresh is told, but not to a page without a signature that has just come", () => {
  show(`<p id="a" data-realtime="${signed(1000)}"></p><p id="b" data-realtime="order/8"></p>`);
  for (const live of [false, true])
    for (const topic of topics.values())
      topic.emit("event", { name: "refresh", at: new Date(0).toISOString(), live, deleted: false, data: { within: 0 } });
  assert.deepEqual(told, ["refresh a", "refresh a", "refresh b"]);
});

test("an element that was fetched again is not told of the same refresh", async () => {
  const page = show(`<p id="a" data-realtime="${signed(1000)}"></p>`);
  const refresh = (at) => ({ name: "refresh", at: new Date(at * 1000).toISOString(), live: true, deleted: false, data: { within: 0 } });
  only().position = { seq: 1, epoch: "e" };
  only().emit("event", refresh(1010));
  page.getElementById("a").replaceWith(parse(`<p id="a" data-realtime="${signed(1010.1)}"></p>`));
  await settled();
  assert.equal(told.length, 1);
  page.body.append(parse(`<p id="late" data-realtime="${signed(1009)}"></p>`));
  await settled();
  assert.deepEqual(told, ["refresh a", "refresh late"]);
});

test("a refresh that waits is for the element that is there by then", () => {
  const page = show(`<p id="a" data-realtime="${signed(1000)}"></p>`);
  mock.timers.enable({ apis: ["setTimeout"] });
  only().emit("event", { name: "refresh", at: new Date(0).toISOString(), live: true, deleted: false, data: { within: 5 } });
  page.getElementById("a").replaceWith(parse(`<p id="a" data-realtime="${signed(1000)}"></p>`));
  mock.timers.tick(5000);
  assert.deepEqual(told, ["refresh a"]);
});

test("a page that is too old is told so, and so is a refusal", () => {
  show(`<p id="a" data-realtime="${signed(1000)}"></p>`);
  only().emit("reset");
  only().emit("refused", { error: { code: "unknown_topic" } });
  assert.deepEqual(told, ["expired a", "refused a"]);
});

const MORPHED = [
  ["<p>a</p>", "<p>b</p>"],
  ['<p class="a" title="b">a</p>', '<p class="c">a</p>'],
  ["<p>a<b>c</b></p>", "<p><i>x</i>a</p>"],
  ["<p></p>", "<div>a</div>"],
  ['<ul><li id="a">1</li><li id="b">2</li></ul>', '<ul><li id="b">3</li><li id="c">4</li><li id="a">1</li></ul>'],
  ['<ul><li id="a"></li></ul>', "<ul><li>1</li><li>2</li></ul>"],
  ['<p><i id="a">1</i></p>', '<p><b id="a">1</b></p>'],
  ["<p><!-- a -->b</p>", "<p>b<!-- c --></p>"],
];

for (const [before, after] of MORPHED) {
  test(`${before} becomes ${after}`, () => {
    const page = open(before);
    morph(page.body.firstElementChild, parse(after).firstElementChild);
    assert.equal(page.body.innerHTML, after);
  });
}

test("elements with an id are kept, and so is what the user has typed", () => {
  const page = open('<form><input id="a"><input id="b" value="x"></form>');
  const [a, b] = page.querySelectorAll("input");
  a.value = "typed";
  a.focus();
  morph(page.querySelector("form"), parse('<form class="new"><p>first</p><input id="b" value="y"><input id="a"></form>').firstElementChild);
  assert.deepEqual([...page.querySelectorAll("input")], [b, a]);
  assert.deepEqual([a.value, b.value], ["typed", "y"]);
});
