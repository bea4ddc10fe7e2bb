import type { SettledRow } from "../queue/give-back.ts"
import { arrayText, leaseLists } from "../queue/id-lists.ts"
import { inSavepoint } from "../savepoint.ts"
import { sqlState } from "../sql-state.ts"
import { callHandler, type CallHost } from "./call-handler.ts"
import { finish } from "./finish.ts"
import type { HandlerSpec } from "./handler.ts"
import type { Held } from "./held.ts"
import { resultsOf } from "./results-of.ts"
import { failed, type Settlement, settlementOf, settlementsOf } from "./verdict.ts"

/** What became of each message of a transaction that committed; of one that is not in it, the lease was lost before. */
export type Committed = Map<Held, { readonly settlement: Settlement; readonly row: SettledRow | undefined }>

/** The transaction could not be opened, or its messages not locked: no handler has seen them. */
export class NotBegunError extends Error {}

/* The first statement of the transaction: from here on nobody else can take the messages, however long it lives. */
const lockStatement = {
  name: "lock",
  text: "select fault::text as fault, id::text as id, cancelled from {schema}.try_lock($1::text, $2::text::bigint[], $3::text::bigint[])",
}

interface LockRow {
  readonly id: string
  readonly cancelled: boolean
}

/** Handles messages and settles them in one transaction of the user's library. Rejects where it did not commit: then nothing of it is. */
export async function runTransaction<Tx>(spec: HandlerSpec<Tx>, queue: string, helds: readonly Held[], host: CallHost): Promise<Committed> {
  const committed: Committed = new Map()
  let begun = false
  const settle: Settle<Tx> = async (tx, entries) => {
    const finished = entries.map(([{ message }, settlement, result]) => ({ message, settlement, result }))
    const rows = await finish(spec.session, queue, finished, host.worker, { tx }).catch(tellSwallowed)
    for (const [held, settlement] of entries) committed.set(held, { settlement, row: rows.get(held.message.id) })
  }
  try {
    await spec.transactions.run(async (tx) => {
      const rows = new Map((await lock(spec, queue, helds, tx)).map((row) => [row.id, row]))
      begun = true
      const cancelled = helds.filter(({ message }) => rows.get(message.id)?.cancelled === true)
      if (cancelled.length > 0) await settle(tx, cancelled.map((held) => [held, { to: "cancel" }]))
      const alive = helds.filter(({ message }) => rows.get(message.id)?.cancelled === false)
      if (alive.length === 0) return
      if (spec.whole) return settle(tx, await handleWhole(spec, alive, host, tx))
      const [first] = alive
      if (alive.length === 1) return settle(tx, [ended(await callHandler(spec, alive, host, tx), first!, spec, host)])
      for (const held of alive) await handleInSavepoint(spec, held, host, tx, settle)
    })
  } catch (error) {
    // A library may tell that the connection is lost while the handler still runs.
    for (const { controller } of helds) controller?.abort(error)
    throw begun ? error : new NotBegunError("The transaction could not be opened.", { cause: error })
  }
  return committed
}

function tellSwallowed(error: unknown): never {
  if (sqlState(error) !== "25P02") throw error
  throw new Error("A statement of the handler failed, and the handler went on: nothing of the transaction can be committed.", { cause: error })
}

function lock<Tx>({ session }: HandlerSpec<Tx>, queue: string, helds: readonly Held[], tx: Tx): Promise<LockRow[]> {
  const { ids, leases } = leaseLists(helds.map(({ message }) => message))
  return session.run<LockRow>(lockStatement, [queue, arrayText(ids), arrayText(leases)], { tx })
}

/** A message, what becomes of it, and what is kept of what its handler returned. */
type Entry = readonly [Held, Settlement, string?]
type Settle<Tx> = (tx: Tx, entries: readonly Entry[]) => Promise<void>

function ended<Tx>(value: unknown, held: Held, spec: HandlerSpec<Tx>, host: CallHost): Entry {
  return [held, settlementOf(value, held.message, spec), resultsOf(value, 1, spec.session.limits, false, host)[0]]
}

async function handleWhole<Tx>(spec: HandlerSpec<Tx>, helds: readonly Held[], host: CallHost, tx: Tx): Promise<Entry[]> {
  const value = await callHandler(spec, helds, host, tx)
  const settlements = settlementsOf(value, helds.map(({ message }) => message), spec)
  const results = resultsOf(value, helds.length, spec.session.limits, true, host)
  return helds.map((held, i) => [held, settlements[i]!, results[i]])
}

/** What one message did is undone with its savepoint; that it failed is kept by the transaction, with what the others did. */
async function handleInSavepoint<Tx>(
  spec: HandlerSpec<Tx>,
  held: Held,
  host: CallHost,
  tx: Tx,
  settle: Settle<Tx>,
): Promise<void> {
  try {
    await inSavepoint(spec.session.driver, tx, async (inner) => {
      spec.transactions.join(inner, tx)
      const value = await callHandler(spec, [held], host, inner)
      await settle(inner, [ended(value, held, spec, host)])
    })
  } catch (error) {
    await settle(tx, [[held, failed(error, held.message, spec, held.controller?.signal)]])
  }
}
