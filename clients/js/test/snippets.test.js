/** The snippets of the documents are types of TypeScript's strict mode, and do what the text says. */

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { load } from "../fixtures/bundle.js";
import { snippets } from "../fixtures/documents.js";
import { check, writeModules } from "../fixtures/typescript.js";

const SITE = `
export interface OrderTopic {
  name: \`order/\${number}\`;
  events: { paid: { total: string } };
  commands: { cancel: { data: { reason?: string }; reply: { total: string } } };
}
export interface Site { topics: { "order/<int:pk>": OrderTopic } }
`;

// What a page needs to show a component of a document beside a fake server.
const IMPORTS = `
import { act } from "react";
import { createRoot } from "react-dom/client";
import { RealtimeClient as Client } from "django-channels-realtime";
import { RealtimeProvider } from "django-channels-realtime/react";
import { stores } from "django-channels-realtime/stores";
import { fakeServer } from "django-channels-realtime/testing";
`;

test("each snippet in TypeScript passes the strict checks", () => {
  const codes = ["react.md", "client.md", "live-models.md"].flatMap((name) => ["ts", "tsx"].flatMap((language) => snippets(name, language)));
  assert.ok(codes.length > 5);
  const folder = writeModules("documents", codes, "tsx");
  writeFileSync(join(folder, "site.ts"), SITE);
  check(folder, { include: ["*.ts", "*.tsx"] });
});

test("a component waits for its room", async () => {
  const [code] = snippets("react.md", "tsx").filter((one) => one.includes("Suspense"));
  const { makeElement } = await import("../fixtures/page.js");
  const page = `
    export async function show(element) {
      const server = fakeServer();
      server.room("general").update({ title: "All" });
      const client = new Client({ transport: server.transport, clock: server.clock, stores: stores() });
      const app = <RealtimeProvider client={client}><Page client={client} slug="general" /></RealtimeProvider>;
      const seen = [];
      await act(async () => createRoot(element).render(app));
      seen.push(element.textContent);
      await act(async () => void client.room("general").join());
      return [...seen, element.textContent];
    }`;
  const { show } = await load({ name: "suspense", code: code + IMPORTS + page, loader: "tsx" });
  assert.deepEqual(await show(makeElement()), ["Joining…", "All"]);
});

test("a component is a live list", async () => {
  const [code] = snippets("live-models.md", "tsx");
  assert.ok(code.trim().split("\n").length <= 10);
  const { makeElement } = await import("../fixtures/page.js");
  const page = `
    export async function show(element) {
      const server = fakeServer();
      const rows = server.topic("orders/7");
      const client = new Client({ transport: server.transport, clock: server.clock, stores: stores() });
      const seen = [];
      const change = async (act_) => (await act(async () => void act_()), seen.push(element.textContent));
      rows.set("1", "order_row", { total: "9.99", state: "open" });
      await change(() => createRoot(element).render(<RealtimeProvider client={client}><Orders customer={7} /></RealtimeProvider>));
      await change(() => rows.set("2", "order_row", { total: "5", state: "open" }));
      await change(() => rows.set("1", "order_row", { total: "9.99", state: "late" }));
      await change(() => rows.delete("1"));
      return seen;
    }`;
  const { show } = await load({ name: "live-list", code: code + IMPORTS + page, loader: "tsx" });
  const open = "1: 9.99 open";
  assert.deepEqual(await show(makeElement()), [open, `${open}2: 5 open`, "1: 9.99 late2: 5 open", "2: 5 open"]);
});

test("the test of a component passes", async () => {
  const [code] = snippets("react.md", "tsx").filter((one) => one.includes("fakeServer"));
  const { makeElement } = await import("../fixtures/page.js");
  const { test: documented } = await load({ name: "documented", code, loader: "tsx" });
  await documented(makeElement());
});
