/** The value of the attribute of a live element: the name of a topic and, after the last space, a page's signature. */

/** How far the clock of a web server may be ahead of that of the database, in milliseconds. */
export const CLOCK = 2000;

/** @param {string} value @returns {{ path: string, signature?: string }} */
export function readSigned(value) {
  const [, path, signature] = /^(.+?)(?: (\S+:\S+:\S+))?$/.exec(value.trim()) ?? [];
  return { path, signature };
}

/**
 * Return from when on a page with this signature may lack entries, in milliseconds; 0 if it has none.
 * @param {string | undefined} signature
 */
export function momentOf(signature) {
  if (!signature) return 0;
  try {
    const [, , seconds] = JSON.parse(atob(signature.split(":")[0].replaceAll("-", "+").replaceAll("_", "/")));
    return seconds * 1000 - CLOCK || 0;
  } catch {
    return 0; // a compressed or foreign one: the server will say what it is
  }
}
