/** The hooks with the oldest and the newest version of React that they support. */

import { describe } from "node:test";

import { load } from "../fixtures/bundle.js";

const VERSIONS = { 18: { react: "react-18", "react-dom": "react-dom-18" }, 19: {} };

for (const [version, alias] of Object.entries(VERSIONS)) {
  const { default: hooks } = await load({ name: `hooks-${version}`, file: "hooks.tsx", alias });
  describe(`React ${version}`, hooks);
}
