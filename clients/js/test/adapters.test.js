/** The adapters for Vue and Svelte that the document shows. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { compile } from "svelte/compiler";

import { load } from "../fixtures/bundle.js";
import { snippets } from "../fixtures/documents.js";
import { makeElement } from "../fixtures/page.js";
import { RealtimeClient } from "../src/client.js";
import { stores } from "../src/stores.js";
import { settled } from "../src/testing/clock.js";
import { fakeServer } from "../src/testing.js";

async function show(mount) {
  const server = fakeServer();
  const client = new RealtimeClient({ transport: server.transport, clock: server.clock, stores: stores() });
  const element = makeElement();
  const unmount = mount(client, element);
  const text = async () => (await settled(), element.textContent.trim());
  assert.equal(await text(), "Say hello");
  server.room("general").message({ username: "ada", content: "hi" });
  assert.match(await text(), /^ada: hi\s*Say hello$/);
  element.querySelector("button").click();
  assert.match(await text(), /^ada: hi\s*me: hello\s*Say hello$/);
  unmount();
  await server.clock.tick(2);
  assert.deepEqual(server.commands.map(({ type }) => type), ["join", "message", "leave"]);
  client.close();
}

test("the function for Vue", async () => {
  const page = `
    import { createApp, h } from "vue";
    export function mount(client, element) {
      const setup = () => {
        const { state, send } = useRoom(client, "general");
        return () => [
          ...state.value.messages.map(({ username, content }) => h("p", username + ": " + content)),
          h("button", { onClick: () => send("hello") }, "Say hello"),
        ];
      };
      const app = createApp({ setup });
      app.mount(element);
      return () => app.unmount();
    }`;
  const [adapter] = snippets("react.md", "ts").filter((code) => code.includes('from "vue"'));
  const { mount } = await load({ name: "vue", code: adapter + page, loader: "ts" });
  await show(mount);
});

test("the component for Svelte", async () => {
  const [source] = snippets("react.md", "svelte");
  const { js } = compile(source, { name: "Room", generate: "client" });
  const page = `
    import { flushSync, mount as add, unmount } from "svelte";
    export function mount(client, target) {
      const component = flushSync(() => add(Room, { target, props: { client, slug: "general" } }));
      return () => unmount(component);
    }`;
  const code = js.code.replace("export default function Room", "function Room");
  const { mount } = await load({ name: "svelte", code: code + page }, { conditions: ["browser"] });
  await show(mount);
});
