/** The client of the page: `window.realtime`, or one that `{% realtime_config %}` describes. */

/** @returns {Promise<any>} */
export async function pageClient() {
  const page = /** @type {any} */ (window);
  // An element with this id is a property of the window too.
  if (typeof page.realtime?.topic === "function") return page.realtime;
  const element = document.getElementById("realtime-config");
  if (!element) throw new Error("The page has no client. Write {% realtime_config %} into its template, or set window.realtime before.");
  const { client, ...options } = JSON.parse(element.textContent ?? "");
  const { RealtimeClient } = await import(client);
  return (page.realtime = new RealtimeClient(options));
}
