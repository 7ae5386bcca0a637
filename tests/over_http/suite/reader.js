/** Reads a room by the public client: what there is, and then the next messages in one of the live modes. */

import { stream } from "@durable-streams/client";

const { ADDRESS: url, TOKEN, LIVE: live, MOST } = process.env;
const headers = { Authorization: `Bearer ${TOKEN}` };
const contents = (items) => items.map(({ content }) => content);

const stored = await stream({ url, headers, offset: "-1", live: false });
console.log(JSON.stringify(contents(await stored.json())));

const told = [];
const following = await stream({ url, headers, offset: stored.offset, live });
following.subscribeJson(({ items }) => {
  told.push(...contents(items));
  if (told.length < Number(MOST)) return;
  console.log(JSON.stringify(told));
  process.exit();
});
