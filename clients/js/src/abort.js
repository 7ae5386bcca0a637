/**
 * Call `act` when a signal aborts. Returns a function that prevents it.
 * @param {AbortSignal | null | undefined} signal
 * @param {() => void} act
 */
export function whenAborted(signal, act) {
  signal?.addEventListener("abort", act);
  return () => signal?.removeEventListener("abort", act);
}
