/** Fetch the page again, and take those of its elements that asked for it, by their ids. */

const WAIT_SECONDS = 1; // between two requests
const MAX_WAIT_SECONDS = 60; // while the page cannot be fetched

/** @type {Set<Element>} */
const wanted = new Set();
let isRunning = false;

/** @param {Element} element @param {(element: Element, fresh: Element) => void} replace */
export function refetch(element, replace) {
  if (!element.id) return console.warn("A live element needs an id, so that the page can fetch it again:", element);
  wanted.add(element); // the answer to a request that runs may be older than what has changed
  if (!isRunning) void run(replace);
}

/** @param {(element: Element, fresh: Element) => void} replace */
async function run(replace) {
  isRunning = true;
  for (let wait = WAIT_SECONDS; wanted.size; ) {
    const some = [...wanted];
    wanted.clear();
    const page = await load();
    if (page === null) some.forEach((element) => wanted.add(element));
    if (page) for (const element of some) take(element, page, replace);
    wait = page === null ? Math.min(2 * wait, MAX_WAIT_SECONDS) : WAIT_SECONDS;
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  }
  isRunning = false;
}

/** @returns {Promise<Document | null | undefined>} null: try again; undefined: the page does not exist for this user */
async function load() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", headers: { Accept: "text/html" } });
    if (answer.status >= 500 || answer.status === 429) return null;
    if (!answer.ok || answer.redirected) return undefined;
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return null;
  }
}

/** @param {Element} element @param {Document} page @param {(element: Element, fresh: Element) => void} replace */
function take(element, page, replace) {
  const current = document.getElementById(element.id); // it may have been replaced meanwhile
  const fresh = page.getElementById(element.id);
  if (current && fresh) replace(current, fresh);
  else current?.remove();
}
