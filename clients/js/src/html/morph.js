/** Change an element into another one, and keep what both have: focus, selection and what the user has typed. */

/** @param {ChildNode} from @param {ChildNode} to */
export function morph(from, to) {
  if (!isAlike(from, to)) return from.replaceWith(to);
  if (!(from instanceof Element) || !(to instanceof Element)) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  morphAttributes(from, to);
  morphChildren(from, to);
}

/** @param {Node} from @param {Node} to */
function isAlike(from, to) {
  return from.nodeName === to.nodeName && idOf(from) === idOf(to);
}

/** @param {Node} node */
const idOf = (node) => (node instanceof Element ? node.id : "");

/** @param {Element} from @param {Element} to */
function morphAttributes(from, to) {
  for (const name of from.getAttributeNames()) if (!to.hasAttribute(name)) from.removeAttribute(name);
  for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
}

/** @param {Element} from @param {Element} to */
function morphChildren(from, to) {
  const known = new Map([...from.children].filter(({ id }) => id).map((child) => [child.id, child]));
  let next = from.firstChild;
  for (const child of [...to.childNodes]) {
    const found = known.get(idOf(child)) ?? (next && isAlike(next, child) ? next : null);
    if (!found || !isAlike(found, child)) {
      from.insertBefore(child, next);
      continue;
    }
    if (found === next) next = next.nextSibling;
    else from.insertBefore(found, next);
    morph(found, child);
  }
  while (next) {
    const after = next.nextSibling;
    next.remove();
    next = after;
  }
}
