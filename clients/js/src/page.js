/** What a browser tells its page: that it went offline, is shown, is put away or comes back. */

/** Call these functions when it does, until the signal aborts; `doubt`: the connection may be lost. */
export function watchPage(signal, { wake, doubt, suspend, resume }) {
  const page = globalThis.document;
  const on = (target, type, act) => target?.addEventListener?.(type, act, { signal });
  on(globalThis, "online", wake);
  on(globalThis, "offline", doubt);
  on(globalThis, "pagehide", suspend);
  on(globalThis, "pageshow", resume);
  on(page, "visibilitychange", () => page.hidden || wake());
}
