// The colors of the admin's theme.

/** The background of a page, for heads that stay above their rows: each theme names it differently. */
export function background(root) {
  for (let one = /** @type {HTMLElement | null} */ (root); one; one = one.parentElement) {
    const found = getComputedStyle(one).backgroundColor;
    if (found !== "transparent" && !found.endsWith(", 0)")) return found;
  }
  return "Canvas";
}
