import { checkOneOf } from "./check.ts"

/** Tells listeners what happens, at once and in order. */
export interface Emitter<Events extends { readonly error: { readonly error: unknown } }> {
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void
  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void
}

/** `names` has each event once. */
export function createEmitter<Events extends { readonly error: { readonly error: unknown } }>(names: Readonly<Record<keyof Events, 0>>): Emitter<Events> {
  const known: readonly string[] = Object.keys(names)
  const listeners = new Map<keyof Events, Set<(event: never) => void>>()

  function emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of listeners.get(name) ?? []) {
      try {
        const returned: unknown = (listener as (event: Events[Name]) => unknown)(event)
        if (returned instanceof Promise) returned.catch((error: unknown) => onThrown(name, error))
      } catch (error) {
        onThrown(name, error)
      }
    }
  }

  /** Of an error in the telling of errors nobody is left to be told. */
  function onThrown(name: keyof Events, error: unknown): void {
    if (name !== "error") emit("error", { error } as Events["error"])
  }

  return {
    on: (name, listener) => {
      checkOneOf(name as string, known, "event")
      const set = listeners.get(name) ?? new Set()
      listeners.set(name, set.add(listener))
      return () => void set.delete(listener)
    },
    emit,
  }
}
