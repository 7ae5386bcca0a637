/** Promises that settle later, or that a page need not look at. */

/** Keep a rejection from being reported as unhandled: the page is told elsewhere too. */
export function handled(promise) {
  promise.catch(() => {});
  return promise;
}

/** Return `{ promise, resolve, reject }`. */
export function deferred() {
  const parts = {};
  parts.promise = handled(new Promise((resolve, reject) => Object.assign(parts, { resolve, reject })));
  return parts;
}
