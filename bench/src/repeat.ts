/** One contestant's turn: so much, in so long. */
export interface Turn {
  readonly count: number
  readonly milliseconds: number
}

export interface Limits {
  readonly calls: number
  /** How many calls may run at once. Default 1. */
  readonly lanes?: number
  readonly seconds: number
  readonly stop: AbortSignal
}

/** Calls `step`, which says how many messages it handled, so many times or for so many seconds. Returns how far it came. */
export async function repeat({ calls, lanes = 1, seconds, stop }: Limits, step: (call: number) => Promise<number>): Promise<Turn> {
  const started = performance.now()
  const deadline = started + seconds * 1000
  let call = 0
  let count = 0
  const lane = async (): Promise<void> => {
    while (call < calls && performance.now() < deadline) {
      stop.throwIfAborted()
      const handled = await step(call++)
      count += handled // not `+= await`: that would add to what the count was before the wait
    }
  }
  await allOf(Array.from({ length: lanes }, lane))
  return { count, milliseconds: performance.now() - started }
}

/** Waits for all of them, and rejects with the first failure only then: nothing runs on behind our back. */
export async function allOf(tasks: readonly Promise<unknown>[]): Promise<void> {
  for (const task of await Promise.allSettled(tasks)) if (task.status === "rejected") throw task.reason
}
