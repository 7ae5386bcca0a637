/** Questions of the site, and what a page answers. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { Script, settled } from "./scripted.js";

const REF = "0".repeat(32);

async function asked(handler, options) {
  const script = new Script();
  if (handler) script.client.answer("confirm", handler, options);
  await script.connect();
  return { script, line: script.line };
}

const ask = (line, more) => line.send({ type: "ask", ref: REF, name: "confirm", data: { text: "Sure?" }, timeout: 20, ...more });

async function answerOf(line, more) {
  await ask(line, more);
  return line.expect("answer");
}

/** Collect what is reported as an error of the page. */
function reports(t) {
  const found = [];
  t.mock.method(console, "error", (error) => found.push(error));
  return found;
}

for (const [how, handler] of [
  ["at once", ({ text }) => ({ isSure: text === "Sure?" })],
  ["later", async ({ text }) => ({ isSure: text === "Sure?" })],
])
  test(`a handler answers ${how}`, async () => {
    const { line } = await asked(handler);
    assert.deepEqual(await answerOf(line), { type: "answer", ref: REF, data: { isSure: true } });
  });

test("a handler that returns nothing answers with an empty object", async () => {
  const { line } = await asked(() => {});
  assert.deepEqual((await answerOf(line)).data, {});
});

test("without a handler, the site hears so", async () => {
  const { script, line } = await asked();
  assert.equal((await answerOf(line)).code, "no_handler");
  const stop = script.client.answer("confirm", () => {});
  stop();
  stop();
  assert.equal((await answerOf(line)).code, "no_handler");
});

test("a handler lives as long as its signal", async () => {
  const life = new AbortController();
  const { script, line } = await asked(() => {}, { signal: life.signal });
  life.abort();
  assert.equal((await answerOf(line)).code, "no_handler");
  script.client.answer("confirm", () => {}, { signal: life.signal });
  assert.equal((await answerOf(line)).code, "no_handler");
});

test("an earlier handler that stops does not stop a later one", async () => {
  const life = new AbortController();
  const { script, line } = await asked(() => ({ by: 1 }), { signal: life.signal });
  script.client.answer("confirm", () => ({ by: 2 }));
  life.abort();
  assert.deepEqual((await answerOf(line)).data, { by: 2 });
});

test("a name of the prototype is a name as any other", async () => {
  const { line } = await asked();
  assert.equal((await answerOf(line, { name: "__proto__" })).code, "no_handler");
  assert.equal((await answerOf(line, { name: "constructor" })).code, "no_handler");
});

test("an error with a code refuses", async () => {
  const { line } = await asked(() => {
    throw Object.assign(new Error("Later.".repeat(100)), { code: "busy".repeat(20) });
  });
  const { code, message } = await answerOf(line);
  assert.deepEqual([code, message], ["busy".repeat(16), "Later.".repeat(100).slice(0, 500)]);
});

test("any other exception is reported, and hurts no other question", async (t) => {
  const found = reports(t);
  const { script, line } = await asked(async () => {
    throw new TypeError("oops");
  });
  assert.equal((await answerOf(line)).code, "internal");
  assert.equal(found.length, 1);
  script.client.answer("confirm", () => {});
  assert.deepEqual((await answerOf(line)).data, {});
});

test("what is no JSON is a fault of the handler", async (t) => {
  const found = reports(t);
  const { line } = await asked(() => ({ big: 1n }));
  assert.equal((await answerOf(line)).code, "internal");
  assert.equal(found.length, 1);
});

test("after its time, a question is not answered, and its handler knows", async () => {
  let signal;
  const { script, line } = await asked((data, given) => {
    signal = given.signal;
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve({})));
  });
  await ask(line, { timeout: 5 });
  await script.clock.passes(4);
  assert.equal(signal.aborted, false);
  await script.clock.passes(1);
  assert.equal(signal.aborted, true);
  await settled();
  assert.ok(!line.types.includes("answer"));
});

test("a question ends with its line", async () => {
  const answers = [];
  const { script, line } = await asked((data, { signal }) => new Promise((resolve) => answers.push({ resolve, signal })));
  await ask(line);
  await script.back();
  assert.equal(answers[0].signal.aborted, true);
  answers[0].resolve({});
  await settled();
  assert.ok(!script.line.types.includes("answer"));
  await ask(script.line);
  answers[1].resolve({ by: "second" });
  assert.deepEqual((await script.line.expect("answer")).data, { by: "second" });
});

test("the same question is worked on once", async () => {
  let calls = 0;
  const { line } = await asked(() => (calls++, new Promise(() => {})));
  await ask(line);
  await ask(line);
  assert.equal(calls, 1);
});

for (const code of ["too_large", "invalid_message"])
  test(`an answer that the server refuses with ${code} becomes that code`, async () => {
    const { script, line } = await asked(() => ({}));
    await line.refuse(await answerOf(line), code);
    const second = await line.expect("answer");
    assert.deepEqual([second.ref, second.code, second.message], [REF, code, "No."]);
    assert.deepEqual(script.told("error"), []);
  });

test("an answer that comes late is not repeated", async () => {
  const { script, line } = await asked(() => ({}));
  await line.refuse(await answerOf(line), "conflict");
  assert.deepEqual(line.types, ["answer"]);
  assert.deepEqual(script.told("error"), []);
});

test("the page of the client says how to answer", async () => {
  const page = await readFile(new URL("../../../docs/client.md", import.meta.url), "utf8");
  const [, code] = page.match(/```js\n(client\.answer.*?)```/s);
  const { script, line } = await asked();
  new Function("client", "dialog", code)(script.client, async (text, { aborted }) => text === "Sure?" && !aborted);
  assert.deepEqual((await answerOf(line)).data, { isSure: true });
});

test("a page without the add-on answers that it has no handler", async () => {
  const script = new Script({ answers: undefined });
  const line = await script.connect();
  await line.send({ type: "ask", ref: "q", name: "confirm", data: {}, timeout: 10 });
  const { ref, code } = await line.expect("answer");
  assert.deepEqual([ref, code], ["q", "no_handler"]);
  assert.throws(() => script.client.answer("confirm", () => {}), { name: "TypeError", message: /`answers: answers\(\)`/ });
});
