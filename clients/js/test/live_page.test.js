/** The live page of the admin: the sums of steps over processes, and the rates of rooms and topics. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

/** The page's modules are files of Django, outside of any package; those here import nothing. */
const load = (name) => {
  const file = new URL(`../../../realtime/static/realtime/admin/live/${name}.js`, import.meta.url);
  return import(`data:text/javascript,${encodeURIComponent(readFileSync(file, "utf8"))}`);
};
const { Series, STEP, STEPS, quantile } = await load("series");
const { Places } = await load("places");
const { size, span, speed } = await load("format");

const step = (at, connections = 1, deliveries = 0, acks = []) => [at, connections, 0, 0, 0, deliveries, 0, 0, 0, acks];
const NOW = 1000 * STEP; // the last step that has ended is 999
const deliveriesOf = (sums) => sums.map(({ numbers }) => numbers[4]);

test("the steps of all processes are added", () => {
  const series = new Series();
  series.add("a", [step(998, 2, 10, [1, 0]), step(999, 2, 20)]);
  series.add("b", [step(999, 3, 5, [0, 4])]);
  const sums = series.sums(NOW, ["a", "b"]);
  assert.deepEqual(sums.map(({ at, numbers }) => [at, numbers[0]]), [[998, 2], [999, 5]]);
  assert.deepEqual(deliveriesOf(sums), [10, 25]);
  assert.deepEqual(sums[1].acks, [0, 4]);
});

test("a step that comes twice counts once", () => {
  const series = new Series();
  series.add("a", [step(999, 1, 7)]);
  series.add("a", [step(998, 1, 1), step(999, 1, 7)]);
  assert.deepEqual(deliveriesOf(series.sums(NOW, ["a"])), [1, 7]);
});

test("a step that a living process has not reported yet is left out", () => {
  const series = new Series();
  series.add("a", [step(998, 1, 1), step(999, 1, 1)]);
  series.add("b", [step(998, 1, 1)]);
  assert.deepEqual(deliveriesOf(series.sums(NOW, ["a", "b"])), [2]);
  assert.deepEqual(deliveriesOf(series.sums(NOW, ["a"])), [2, 1]);
});

test("a process that has ended stays in the steps that it had", () => {
  const series = new Series();
  series.add("ended", [step(997, 5, 3)]);
  series.add("a", [step(997, 1, 1), step(998, 6, 1), step(999, 6, 1)]);
  assert.deepEqual(series.sums(NOW, ["a"]).map(({ numbers }) => numbers[0]), [6, 6, 6]);
});

test("missing steps are noticed", () => {
  const series = new Series();
  assert.equal(series.add("a", [step(990)]), false);
  assert.equal(series.add("a", [step(990), step(991)]), false);
  assert.equal(series.add("a", [step(994), step(995)]), true);
  assert.equal(series.add("a", []), false);
});

test("nothing older than 15 minutes is kept", () => {
  const series = new Series();
  for (let at = 0; at < 2 * STEPS; at += 1) {
    series.add("a", [step(at)]);
    series.add(`short ${at}`, [step(at)]);
    series.trim((at + 1) * STEP);
  }
  assert.equal(series.nodes.get("a").size, STEPS);
  assert.equal(series.nodes.size, STEPS + 1);
  assert.equal(series.sums(2 * STEPS * STEP, ["a"]).length, STEPS);
});

test("a page that knows no process has no sums", () => {
  assert.deepEqual(new Series().sums(NOW, []), []);
});

test("quantiles are bounds of buckets", () => {
  assert.equal(quantile([1, 98, 1], [1, 5, 10], 0.5), 5);
  assert.equal(quantile([1, 98, 1], [1, 5, 10], 0.99), 5);
  assert.equal(quantile([], [1, 5, 10], 0.5), 0);
});

const part = (key, members, position = 0, present = null) => ({ key, kind: "room", name: key, members, present, position });

test("the parts of a room in processes are one row", () => {
  const places = new Places();
  places.take("a", [part("x", 2, 7, 3)]);
  places.take("b", [part("x", 1, 8, 4), part("y", 1)]);
  assert.deepEqual([...places.rows.values()].map((row) => [row.key, row.members, row.position, row.present]), [
    ["x", 3, 8, 4], ["y", 1, 0, null],
  ]);
  places.take("b", [part("x", 0)]);
  assert.equal(places.rows.get("x").members, 2);
  places.replace("b", [part("z", 1)]);
  assert.deepEqual([...places.rows.keys()], ["x", "z"]);
  places.forget("a");
  places.forget("b");
  assert.equal(places.rows.size, 0);
});

test("a rate follows the position, and ends", () => {
  const places = new Places();
  places.take("a", [part("x", 1, 100)]);
  for (let second = 0; second < 60; second += 1) {
    places.take("a", [part("x", 1, 110 + 10 * second)]);
    places.take("b", [part("x", 1, 110 + 10 * second)]);
    places.tick();
  }
  assert.ok(Math.abs(places.rows.get("x").rate - 10) < 0.1);
  for (let second = 0; second < 60; second += 1) places.tick();
  assert.equal(places.rows.get("x").rate, 0);
  assert.equal(places.moving.size, 0);
});

test("numbers are written in short", () => {
  assert.deepEqual([0, 59, 61, 3600, 90061].map(span), ["0 s", "59 s", "1 min 1 s", "1 h", "1 d 1 h"]);
  assert.deepEqual([999, 1000, 2_500_000].map(size), ["999 B", "1.0 kB", "2.5 MB"]);
  assert.deepEqual([0, 0.25, 12.4].map(speed), ["0", "0.3", "12"]);
});
