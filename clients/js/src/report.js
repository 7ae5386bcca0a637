/** Handlers of the page: one that throws, or returns a promise that rejects, is reported and hurts no other. */

/**
 * Report an error of the page's own code, as the browser does with one that nothing catches. Node has no `reportError`.
 * @param {unknown} error
 */
export const report = (error) => (globalThis.reportError ?? console.error)(error);

/**
 * Call a handler.
 * @param {(...detail: any[]) => any} handler
 * @param {any[]} detail
 */
export function call(handler, ...detail) {
  try {
    handler(...detail)?.then?.(null, report);
  } catch (error) {
    report(error);
  }
}
