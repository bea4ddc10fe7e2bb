/** A number of places that many share, in turn: who asks first is served first, with some of what is free. */
export interface Slots {
  /** Resolves with 1 to `most` places, or with 0 when the signal aborts. */
  take(most: number, signal: AbortSignal): Promise<number>
  give(count: number): void
}

interface Waiter {
  readonly most: number
  serve(count: number): void
}

export function createSlots(count: number): Slots {
  let free = count
  let serving = false
  const waiting: Waiter[] = []

  /** Once for all that ends in the same turn: one claim for all of it costs what one for the first of it would. */
  function serveSoon(): void {
    if (serving) return
    serving = true
    queueMicrotask(() => {
      serving = false
      serve()
    })
  }

  function serve(): void {
    while (free > 0 && waiting.length > 0) {
      // A share for each who waits, so that one with much to do does not take all from one who has little.
      const share = Math.max(1, Math.floor(free / waiting.length))
      const { most, serve: hand } = waiting.shift()!
      const granted = Math.min(most, share)
      free -= granted
      hand(granted)
    }
  }

  return {
    take: (most, signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve(0)
        const leave = (): void => {
          waiting.splice(waiting.indexOf(waiter), 1)
          resolve(0)
        }
        const waiter: Waiter = {
          most,
          serve: (granted) => {
            signal.removeEventListener("abort", leave)
            resolve(granted)
          },
        }
        signal.addEventListener("abort", leave, { once: true })
        waiting.push(waiter)
        serveSoon()
      }),
    give: (returned) => {
      free += returned
      serveSoon()
    },
  }
}
