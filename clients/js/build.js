/**
 * Builds the files that a page loads, each of which imports nothing, into the static files of the Python package.
 * With `--check`, nothing is written: it fails if a file is not what its source makes.
 */

import { build } from "esbuild";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

import { FILES } from "./sizes.js";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const { outputFiles } = await build({
  entryPoints: FILES.map((name) => here(`src/${name}.js`)),
  outdir: here("../../realtime/static/realtime"),
  write: false,
  bundle: true,
  minify: true,
  sourcemap: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  banner: { js: "/* django-channels-realtime, BSD-3-Clause */" },
});

for (const { path, text } of outputFiles) {
  if (!process.argv.includes("--check")) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  } else if ((await readFile(path, "utf8")) !== text) {
    console.error(`${path} is not what its source makes. Run \`make client\`.`);
    process.exitCode = 1;
  }
}
