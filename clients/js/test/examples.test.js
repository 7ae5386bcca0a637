/** The JavaScript of the documents and of the demo passes TypeScript's strict checks, with the types of the client. */

import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { snippets } from "../fixtures/documents.js";
import { check, writeModules } from "../fixtures/typescript.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));

// What the text around a snippet has made, and elements, which the template of a page has for sure.
const GIVEN = `
import type { RealtimeClient as Client, readConfig as read } from "django-channels-realtime";
import type { fakeServer as fake } from "django-channels-realtime/testing";
declare global {
  const client: Client;
  const room: ReturnType<Client["room"]>;
  const order: ReturnType<Client["topic"]>;
  const [board, game]: (typeof order)[];
  const RealtimeClient: typeof Client;
  const readConfig: typeof read;
  const fakeServer: typeof fake;
  const signal: AbortSignal;
  const [csrfToken, token]: string[];
  function show(...shown: unknown[]): void;
  function draw(...shown: unknown[]): void;
  function log(...shown: unknown[]): void;
  function dialog(text: string, signal: AbortSignal): Promise<boolean>;
  interface Window { realtime: any }
  interface Document { getElementById(id: string): any }
  interface ParentNode { querySelector(selector: string): any; querySelectorAll(selector: string): NodeListOf<any> }
  interface EventTarget { closest(selector: string): any }
}
`;

const isFrame = (/** @type {string} */ code) => code.startsWith('{"');

/** The scripts of the documents: snippets, and modules of templates. */
function* documented() {
  for (const name of readdirSync(join(root, "docs")).filter((file) => file.endsWith(".md"))) {
    for (const code of snippets(name, "js")) if (!isFrame(code)) yield code;
    for (const html of snippets(name, "html"))
      for (const [, code] of html.matchAll(/<script type="module">\n(.*?)<\/script>/gs)) yield code.replace(/\{% static '(.*?)' %\}/g, "./$1");
  }
}

/** The scripts of the demo, where `collectstatic` puts them, beside a client that is made from its sources. */
function copyDemo(/** @type {string} */ folder) {
  const demo = join(root, "project/examples");
  for (const name of readdirSync(demo)) {
    const files = join(demo, name, name === "static" ? "examples" : "static/examples");
    if (existsSync(files)) cpSync(files, join(folder, "examples"), { recursive: true });
  }
  cpSync(join(root, "project/static/chat"), join(folder, "chat"), { recursive: true });
  cpSync(join(root, "realtime/static/realtime/admin"), join(folder, "realtime/admin"), { recursive: true });
  for (const name of ["answers", "core", "http", "offline", "stores", "tabs", "topics"])
    writeFileSync(join(folder, `realtime/${name}.js`), `export * from "django-channels-realtime/${name}";\n`);
  writeFileSync(join(folder, "realtime/client.js"), 'export * from "django-channels-realtime";\n');
}

test("each example passes the strict checks", () => {
  const codes = [...documented()];
  assert.ok(codes.length > 15);
  const folder = writeModules("examples", codes, "js");
  copyDemo(folder);
  writeFileSync(join(folder, "given.d.ts"), GIVEN);
  const compilerOptions = {
    useUnknownInCatchVariables: false, // in JavaScript, a script cannot say what it catches
    strictPropertyInitialization: false, // nor that a field is set later
    types: [], // a page is not Node
    lib: ["es2023", "dom", "dom.iterable", "esnext.disposable"],
  };
  check(folder, { compilerOptions, include: ["**/*.js", "given.d.ts"] });
});
