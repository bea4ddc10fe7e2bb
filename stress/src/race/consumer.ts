import { type Message, type Queue, type SettleResult, StaleLeaseError } from "@sluice/core"
import type { Pool, PoolClient } from "pg"
import { hasCode } from "../has-code.ts"
import { onConnection } from "../on-connection.ts"
import { pause } from "../pause.ts"
import type { Random } from "../random.ts"
import { type How, ledger, type Payload } from "./ledger.ts"

type Held = Message<Payload>

export interface Consumer {
  readonly pool: Pool
  readonly queue: Queue<Payload, Payload, PoolClient>
  readonly random: Random
  /** It may be killed at any moment: so it settles only together with the ledger, in one transaction. */
  readonly mortal: boolean
}

/** Reads and settles until the signal fires, not always as it should. */
export async function consume(consumer: Consumer, signal: AbortSignal): Promise<void> {
  const { pool, queue, random } = consumer
  for (let batches = 0; !signal.aborted; ) {
    const lease = random.integer(1000, 2000)
    const messages = await queue.readBatch({ limit: random.integer(1, 30), lease: `${lease}ms` })
    if (messages.length === 0) {
      await pause(random.integer(5, 40), signal)
      continue
    }
    await ledger.delivered(pool, messages, lease)
    // The fifth for sure: a short run has crashes too.
    if (random.chance(0.02) || ++batches === 5) await ledger.note(pool, "crashed")
    else await handle(consumer, messages, lease)
  }
}

async function handle(consumer: Consumer, messages: Held[], lease: number): Promise<void> {
  const { pool, random, mortal } = consumer
  if (random.chance(0.05)) {
    await ledger.note(pool, "dawdled")
    await pause(lease + random.integer(0, 800))
  }
  const how = random.pick(["delete", "archive"] as const)
  if (random.chance(0.1)) await giveBack(consumer, messages)
  else if (mortal || random.chance(0.4)) await settleInTransaction(consumer, messages, how)
  else await settle(consumer, messages, how)
}

const settleBy = ({ queue }: Consumer, how: How, messages: Held[], tx?: PoolClient): Promise<SettleResult> =>
  queue[how === "delete" ? "deleteBatch" : "archiveBatch"](messages, tx && { tx })

async function record(on: Pool | PoolClient, messages: Held[], how: How, { settled, refused }: SettleResult): Promise<void> {
  await ledger.settled(on, messages.filter(({ id }) => settled.includes(id)), how)
  await ledger.refused(on, messages.filter(({ id }) => refused.includes(id)))
}

async function settle(consumer: Consumer, messages: Held[], how: How): Promise<void> {
  await record(consumer.pool, messages, how, await settleBy(consumer, how, messages))
}

/** Also in strict transactions, whose snapshot is older than the settle, and with a rollback after it. */
async function settleInTransaction(consumer: Consumer, messages: Held[], how: How): Promise<void> {
  const { pool, random, mortal } = consumer
  const undone = random.chance(0.1)
  const strict = random.chance(0.3)
  try {
    await onConnection(pool, async (tx) => {
      await tx.query(strict ? "begin isolation level repeatable read" : "begin")
      await tx.query("select from ledger.note limit 1")
      if (random.chance(0.5)) await pause(random.integer(0, 700))
      await record(tx, messages, how, await settleBy(consumer, how, messages, tx))
      if (random.chance(0.3)) await pause(random.integer(0, 500))
      await tx.query(undone ? "rollback" : "commit")
    })
  } catch (error) {
    // Somebody has moved or taken one of them since the snapshot: the caller's to try again.
    if (!strict || !hasCode(error, "40001")) throw error
    await ledger.note(pool, "serialization failures")
  }
  if (!undone) return
  await ledger.note(pool, "settles rolled back", messages.length)
  if (!mortal && random.chance(0.5)) await settle(consumer, messages, how)
}

async function giveBack({ pool, queue, random, mortal }: Consumer, messages: Held[]): Promise<void> {
  await ledger.returned(pool, messages)
  for (const message of messages) {
    const way = random.integer(mortal ? 2 : 1, 4)
    try {
      if (way === 1) await archiveExtended(pool, queue, message)
      else if (way === 2) await queue.release(message)
      else if (way === 3) await queue.retry(message, { delay: `${random.integer(0, 500)}ms`, error: new Error("again") })
      else await queue.setVt(message, `${random.integer(0, 500)}ms`)
    } catch (error) {
      if (!(error instanceof StaleLeaseError)) throw error
      await ledger.refused(pool, [message])
    }
  }
  await ledger.note(pool, "given back", messages.length)
}

async function archiveExtended(pool: Pool, queue: Queue<Payload, Payload, PoolClient>, message: Held): Promise<void> {
  await queue.archive(await queue.extend(message, "500ms"))
  await ledger.settled(pool, [message], "archive")
}
