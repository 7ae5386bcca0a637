/** Load the page again once the user sees it: it is too old to be kept up to date. */

const AGAIN_SECONDS = 60; // a page that is too old although it was just loaded again stays as it is

let isDue = false;

export function reload() {
  if (isDue || isNew()) return;
  isDue = true;
  const reloadVisible = () => document.visibilityState === "visible" && location.reload();
  document.addEventListener("visibilitychange", reloadVisible);
  reloadVisible();
}

function isNew() {
  const [navigation] = performance.getEntriesByType("navigation");
  const { type } = /** @type {any} */ (navigation ?? {});
  return type === "reload" && performance.now() < AGAIN_SECONDS * 1000;
}
