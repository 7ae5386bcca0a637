/** The package as a site installs it: in Node, with a bundler and with TypeScript. */

import { build } from "esbuild";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("..", import.meta.url));
const entries = Object.keys(JSON.parse(readFileSync(join(here, "package.json"), "utf8")).exports);
const names = entries.map((entry) => join("django-channels-realtime", entry));
const folder = mkdtempSync(join(tmpdir(), "realtime-package-"));
/** @type {string[]} */
let files;

/** @param {string} program @param {string[]} args */
function run(program, args, cwd = folder) {
  return execFileSync(program, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

before(() => {
  const [packed] = JSON.parse(run("npm", ["pack", "--json", "--ignore-scripts=false", "--pack-destination", folder], here));
  files = packed.files.map((/** @type {{ path: string }} */ { path }) => path);
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  run("npm", ["install", "--offline", "--no-audit", "--no-fund", packed.filename]);
});

after(() => rmSync(folder, { recursive: true }));

test("it holds its sources and types, and nothing of the tests", () => {
  const strange = files.filter((path) => !/^(src|types)\/|^package\.json$|^README\.md$/.test(path));
  assert.deepEqual(strange, []);
  assert.ok(files.includes("types/client.d.ts"));
});

test("importing and constructing do nothing in Node", () => {
  const program = `
    import { RealtimeClient } from "django-channels-realtime";
    const client = new RealtimeClient({ url: "wss://example.com/ws/", user: "1" });
    console.log(client.state, client.room("general").state, client.topic("order/7").state);`;
  writeFileSync(join(folder, "server.js"), program);
  assert.equal(run(process.execPath, ["server.js"]), "idle idle idle\n");
});

test("a bundler takes each of its entries, and drops what is not used", async () => {
  const bundle = async (/** @type {string} */ contents) => {
    const stdin = { contents, resolveDir: folder };
    const { outputFiles } = await build({ stdin, bundle: true, write: false, format: "esm", external: ["react"], logLevel: "silent" });
    return outputFiles[0].text;
  };
  for (const name of names) assert.notEqual(await bundle(`import * as all from "${name}"; console.log(all);`), "", name);
  assert.equal((await bundle(`import { fakeServer } from "django-channels-realtime/testing";`)).trim(), "");
});

test("its types are those of TypeScript's strict mode", () => {
  symlinkSync(join(here, "node_modules/@types"), join(folder, "node_modules/@types"));
  const program = `
    import { RealtimeClient } from "django-channels-realtime";
    const client = new RealtimeClient();
    const content: string | undefined = client.room("general").messages[0]?.content;
    // @ts-expect-error
    const wrong: number | undefined = client.room("general").messages[0]?.content;
    ${names.map((name, at) => `import * as entry${at} from "${name}"; void entry${at};`).join("\n")}
    void [content, wrong];`;
  writeFileSync(join(folder, "page.ts"), program);
  const options = ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--types", "node"];
  run(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), ...options, "page.ts"]);
});
