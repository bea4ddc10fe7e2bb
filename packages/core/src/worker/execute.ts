import type { Session } from "../session.ts"
import type { SettledRow } from "../queue/give-back.ts"
import { callHandler, type CallHost } from "./call-handler.ts"
import type { Emitter } from "../emitter.ts"
import type { WorkerEvents } from "./events.ts"
import type { HandlerSpec } from "./handler.ts"
import type { Held } from "./held.ts"
import { NotBegunError, runTransaction } from "./run-transaction.ts"
import { createSettler } from "./settler.ts"
import { resultsOf } from "./results-of.ts"
import { failed, type Settlement, settlementOf, settlementsOf, unreadable } from "./verdict.ts"

export interface ExecutorHost extends CallHost {
  readonly emitter: Emitter<WorkerEvents>
  /** Milliseconds that a message stays leased without a beat. */
  lease(): number
  onInvalid(): "deadLetter" | "raise"
  onResult(): void
  /** The message is settled, or lost. */
  onLeft(held: Held): void
}

/** Runs the calls of one queue: from claimed messages to settled ones. */
export interface Executor {
  /** Resolves when the handler has ended; false where it could not begin. Never rejects. */
  run(helds: readonly Held[]): Promise<boolean>
  giveBack(helds: readonly Held[]): Promise<void>
}

export function createExecutor<Tx>(session: Session<Tx>, queue: string, spec: HandlerSpec<Tx>, host: ExecutorHost): Executor {
  const { emit } = host.emitter
  const settler = createSettler(session, queue, host.worker, host.lease, (error) => emit("error", { error, queue }))

  async function settle(held: Held, settlement: Settlement, started?: number, result?: string): Promise<void> {
    const ms = started === undefined ? 0 : performance.now() - started
    try {
      tell(held, settlement, await settler.settle({ message: held.message, settlement, result }), ms)
    } catch {
      // Told as an error by the settler; the message is delivered again.
      host.onLeft(held)
    }
  }

  function tell(held: Held, { to, error }: Settlement, row: SettledRow | undefined, ms: number): void {
    const { message } = held
    host.onLeft(held)
    if (row === undefined) return emit("lost", { message })
    if (host.keepsResults() && ["done", "dead", "cancelled"].includes(row.outcome)) host.onResult()
    const visibleAt = new Date(row.visible ?? 0)
    if (to === "return" || row.outcome === "release") return emit("released", { message })
    if (row.outcome === "done") return emit("done", { message, ms })
    if (row.outcome === "retry") return emit("retry", { message, error, visibleAt })
    if (row.outcome === "snooze") return emit("snooze", { message, visibleAt })
    if (row.outcome === "dead") return emit("dead", { message, error })
    emit("cancelled", { message })
  }

  /** Those that a handler can be called with; the others are settled. */
  function readable(helds: readonly Held[]): Held[] {
    return helds.filter((held) => {
      const error = unreadable(held.message)
      if (held.doomed === "lost") tell(held, { to: "release" }, undefined, 0)
      else if (held.doomed !== undefined) void settle(held, held.doomed)
      else if (error !== undefined) void settle(held, host.onInvalid() === "deadLetter" ? { to: "dead", error } : failed(error, held.message, spec))
      else return true
      return false
    })
  }

  async function handle(helds: readonly Held[], started: number): Promise<void> {
    const messages = helds.map(({ message }) => message)
    let settlements: readonly Settlement[]
    let results: readonly (string | undefined)[] = []
    try {
      const value = await callHandler(spec, helds, host)
      settlements = spec.whole ? settlementsOf(value, messages, spec) : messages.map((message) => settlementOf(value, message, spec))
      results = resultsOf(value, messages.length, session.limits, spec.whole, host)
    } catch (error) {
      settlements = helds.map(({ message, controller }) => failed(error, message, spec, controller?.signal))
    }
    const told = helds.map((held, i) => (typeof held.doomed === "object" ? settle(held, held.doomed, started) : settle(held, settlements[i]!, started, results[i])))
    // Not ever more of them where the database is slower than the handlers.
    if (settler.isFull()) await Promise.all(told)
  }

  async function handleInTransaction(helds: readonly Held[], started: number): Promise<boolean> {
    try {
      const committed = await runTransaction(spec, queue, helds, host)
      for (const held of helds) {
        const entry = committed.get(held)
        tell(held, entry?.settlement ?? { to: "release" }, entry?.row, performance.now() - started)
      }
      return true
    } catch (error) {
      if (error instanceof NotBegunError) emit("error", { error, queue })
      const settlements = helds.map((held): Settlement => (held.begun ? failed(error, held.message, spec, held.controller?.signal) : { to: "return" }))
      await Promise.all(helds.map((held, i) => settle(held, settlements[i]!, started)))
      return !(error instanceof NotBegunError)
    }
  }

  return {
    run: async (helds) => {
      const alive = readable(helds)
      if (alive.length === 0) return true
      const started = performance.now()
      if (spec.transactional) return handleInTransaction(alive, started)
      await handle(alive, started)
      return true
    },
    giveBack: async (helds) => {
      await Promise.all(helds.map((held) => settle(held, { to: "return" })))
    },
  }
}
