/** A controller that aborts when any of the signals does, until it is let go. `AbortSignal.any` keeps who listens to it for as long as its sources live. */
export function follow(...signals: readonly AbortSignal[]): { readonly controller: AbortController; letGo(): void } {
  const controller = new AbortController()
  const ends = signals.map((signal) => onAbort(signal, () => controller.abort(signal.reason)))
  return { controller, letGo: () => ends.forEach((end) => end()) }
}

/** Calls `act` when the signal aborts, at once where it has; returns what ends that. */
export function onAbort(signal: AbortSignal, act: () => void): () => void {
  if (signal.aborted) act()
  signal.addEventListener("abort", act)
  return () => signal.removeEventListener("abort", act)
}
