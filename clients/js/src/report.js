/**
 * Report an error of the page's own code, as the browser does with one that nothing catches. Node has no `reportError`.
 * @param {unknown} error
 */
export const report = (error) => (globalThis.reportError ?? console.error)(error);
