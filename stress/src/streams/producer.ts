import type { Stream } from "@sluice/core"
import type { Pool, PoolClient } from "pg"
import { hasCode } from "../has-code.ts"
import { onConnection } from "../on-connection.ts"
import { pause } from "../pause.ts"
import type { Random } from "../random.ts"
import { ledger } from "./ledger.ts"

export interface Producer {
  readonly name: string
  readonly pool: Pool
  readonly stream: Stream<any, PoolClient>
  readonly random: Random
  /** Whether its transactions stay open for up to 1.5 s. */
  readonly slow: boolean
}

const levels = ["read committed", "read committed", "repeatable read", "serializable"] as const

/** Publishes in transactions of all kinds until the signal fires: late commits, savepoints and whole transactions rolled back. */
export async function produce(producer: Producer, signal: AbortSignal): Promise<void> {
  const { name, pool, random, slow } = producer
  for (let made = 0; !signal.aborted; made++) {
    try {
      await onConnection(pool, (tx) => publishSome(producer, tx, `${name}.${made}`))
    } catch (error) {
      if (!hasCode(error, "40001")) throw error
      await ledger.note(pool, "serialization failures")
    }
    await pause(slow ? 2 : random.integer(30, 150), signal)
  }
}

async function publishSome(producer: Producer, tx: PoolClient, name: string): Promise<void> {
  const { pool, random, slow } = producer
  let patience = slow ? random.integer(50, 1500) : 0
  const hold = async (): Promise<void> => {
    const ms = random.integer(0, patience)
    patience -= ms
    if (ms > 0) await pause(ms)
  }
  const level = random.pick(levels)
  await tx.query(`begin isolation level ${level}`)
  // A snapshot that is older than the transaction's id: rotations may lie between the two.
  if (level !== "read committed") await tx.query("select from ledger.note limit 1")
  await hold()
  for (let n = 0, left = random.integer(1, 4); left > 0; left--) {
    n = await publishChunk(producer, tx, name, n, hold)
    await hold()
  }
  const end = random.chance(0.1) ? "rollback" : "commit"
  await tx.query(end)
  await ledger.note(pool, end === "commit" ? "transactions" : "rolled back")
}

/** In a savepoint now and then, which may be rolled back. Returns the number of the next event. */
async function publishChunk({ pool, stream, random }: Producer, tx: PoolClient, name: string, from: number, hold: () => Promise<void>): Promise<number> {
  const saved = random.chance(0.3)
  if (saved) await tx.query("savepoint chunk")
  const numbers = Array.from({ length: random.integer(1, 6) }, (_, i) => from + i)
  const ids = random.chance(0.5)
    ? await stream.publishBatch(numbers.map((n) => ({ type: "made", data: { tx: name, n }, key: name })), { tx })
    : await oneByOne(numbers, async (n) => stream.publish("made", { tx: name, n }, { key: name, tx }))
  await ledger.sent(tx, ids.map((event, i) => ({ event, tx: name, n: numbers[i]! })))
  if (saved) await hold()
  const undone = saved && random.chance(0.5)
  if (saved) await tx.query(undone ? "rollback to savepoint chunk" : "release savepoint chunk")
  if (undone) await ledger.note(pool, "savepoints rolled back")
  return from + numbers.length
}

async function oneByOne(numbers: readonly number[], publish: (n: number) => Promise<string>): Promise<string[]> {
  const ids: string[] = []
  for (const n of numbers) ids.push(await publish(n))
  return ids
}
