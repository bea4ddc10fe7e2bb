import type { Queue } from "@sluice/core"
import type { Pool, PoolClient } from "pg"
import { onConnection } from "../on-connection.ts"
import { pause } from "../pause.ts"
import type { Random } from "../random.ts"
import { ledger, type Payload } from "./ledger.ts"

export interface Producer {
  readonly name: string
  readonly pool: Pool
  readonly queue: Queue<Payload, Payload, PoolClient>
  readonly random: Random
  /** Whether its transactions stay open for up to 3 s. */
  readonly slow: boolean
}

/** Sends in transactions until the signal fires: late commits, savepoints and whole transactions rolled back. */
export async function produce(producer: Producer, signal: AbortSignal): Promise<void> {
  const { name, pool, random, slow } = producer
  let made = 0
  const nextKey = (): string => `${name}.${++made}`
  while (!signal.aborted) {
    await onConnection(pool, (tx) => sendSome(producer, tx, nextKey))
    await pause(slow ? 5 : random.integer(100, 250), signal)
  }
}

async function sendSome(producer: Producer, tx: PoolClient, nextKey: () => string): Promise<void> {
  const { pool, random, slow } = producer
  const messages = random.integer(1, 20)
  let patience = slow ? random.integer(100, 3000) : 0
  const hold = async (): Promise<void> => {
    const ms = random.integer(0, patience)
    patience -= ms
    if (ms > 0) await pause(ms)
  }
  await begin(tx, random)
  await hold()
  const keys: string[] = []
  for (let left = messages; left > 0; ) {
    const count = Math.min(left, random.integer(1, 8))
    keys.push(...(await sendChunk(producer, tx, Array.from({ length: count }, nextKey), hold)))
    left -= count
    await hold()
  }
  const ends = random.chance(0.1) ? "rollback" : "commit"
  await tx.query(ends)
  await ledger.note(pool, "sends rolled back", messages - (ends === "commit" ? keys.length : 0))
  if (ends === "commit" && slow) await ledger.late(pool, keys)
}

/** A strict transaction goes on sending to the segment that was current when its snapshot was taken. */
async function begin(tx: PoolClient, random: Random): Promise<void> {
  if (!random.chance(0.25)) {
    await tx.query("begin")
    return
  }
  await tx.query("begin isolation level repeatable read")
  await tx.query("select from ledger.note limit 1")
}

/** Returns the keys that are still sent when a savepoint around them has ended. */
async function sendChunk({ queue, random }: Producer, tx: PoolClient, keys: string[], hold: () => Promise<void>): Promise<string[]> {
  const saved = random.chance(0.3)
  if (saved) await tx.query("savepoint chunk")
  const priority = random.integer(0, 3)
  const items = keys.map((key) => ({ payload: { key, text: "x".repeat(random.integer(0, 200)) }, headers: { key }, priority }))
  if (random.chance(0.5)) await queue.sendBatch(items, { tx })
  else for (const { payload, headers } of items) await queue.send(payload, { headers, priority, tx })
  await ledger.sent(tx, keys)
  if (!saved) return keys
  await hold()
  const undone = random.chance(0.5)
  await tx.query(undone ? "rollback to savepoint chunk" : "release savepoint chunk")
  return undone ? [] : keys
}
