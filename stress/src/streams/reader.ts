import { type Batch, ConnectionError, StaleBatchError, type Stream, type StreamEvent } from "@sluice/core"
import type { Pool, PoolClient } from "pg"
import { hasCode } from "../has-code.ts"
import { onConnection } from "../on-connection.ts"
import { pause } from "../pause.ts"
import type { Random } from "../random.ts"
import { ledger, type Payload } from "./ledger.ts"
import type { Reading } from "./settings.ts"

export interface Reader {
  /** Its connections are terminated now and then. */
  readonly pool: Pool
  readonly stream: Stream<any, PoolClient>
  readonly reading: Reading
  readonly random: Random
}

/** Reads and finishes until the signal fires, not always as it should. Whoever crashed goes on as another owner. */
export async function read(reader: Reader, signal: AbortSignal): Promise<void> {
  const { stream, reading: { name, member }, random } = reader
  const newOwner = (): string => `${name}-${random.integer(0, 2 ** 31)}`
  for (let owner = newOwner(); !signal.aborted; ) {
    try {
      const limits = { maxEvents: random.pick([10, 50, 200]), chunk: random.pick([2, 50]), lease: `${random.integer(300, 800)}ms` } as const
      const batch = await stream.subscription(name, { owner, member }).nextBatch(limits)
      if (batch === null) await pause(random.integer(2, 30), signal)
      else if (random.chance(0.01)) owner = newOwner() // crashed, with the batch open
      else await handle(reader, batch)
    } catch (error) {
      if (error instanceof StaleBatchError) await note(reader, "finishes refused")
      else if (hasCode(error, "40001")) await note(reader, "serialization failures")
      else if (isCut(error)) await note(reader, "connections cut")
      else throw error
    }
  }
}

/** The note may be cut too. */
async function note({ pool }: Reader, what: string): Promise<void> {
  await ledger.note(pool, what).catch((error: unknown) => {
    if (!isCut(error)) throw error
  })
}

function isCut(error: unknown): boolean {
  return error instanceof ConnectionError || hasCode(error, "57P01") || (error instanceof Error && /Connection terminated|not queryable|ECONNRESET/.test(error.message))
}

async function handle(reader: Reader, batch: Batch): Promise<void> {
  const { random } = reader
  if (random.chance(0.03)) return batch.release()
  const events = await batch.list()
  await check(reader, batch, events)
  if (random.chance(0.015)) await pause(random.integer(300, 1200)) // past its lease
  if (random.chance(0.1)) await batch.renew()
  await finish(reader, batch, events)
}

async function check({ pool }: Reader, batch: Batch, events: readonly StreamEvent[]): Promise<void> {
  const wrong = async (what: string): Promise<void> => ledger.fault(pool, what, batch.id)
  if (events.length !== batch.count) await wrong("incomplete batches")
  if (events.some(({ id }, i) => i > 0 && BigInt(id) <= BigInt(events[i - 1]!.id))) await wrong("out of order")
  if (events.some(({ data, key }) => (data as Payload).tx !== key)) await wrong("changed")
}

/** With the ledger in one transaction, under any isolation level, now and then rolled back: then it is another's to do. */
async function finish({ pool, reading, random }: Reader, batch: Batch<any, PoolClient>, events: readonly StreamEvent[]): Promise<void> {
  const strict = random.chance(0.3)
  const putOff = new Set<string>()
  for (const event of events) {
    if (!random.chance(reading.retries)) continue
    batch.retry(event, { delay: `${random.integer(0, 300)}ms` })
    putOff.add(event.id)
  }
  await onConnection(pool, async (tx) => {
    await tx.query(strict ? "begin isolation level repeatable read" : "begin")
    await tx.query("select from ledger.note limit 1")
    if (random.chance(0.1)) await pause(random.integer(0, 200))
    await ledger.handled(tx, { subscription: reading.name, batch: batch.id, again: batch.retried, events, putOff })
    await batch.finish({ tx })
    if (random.chance(0.1)) await pause(random.integer(0, 200))
    await tx.query(random.chance(0.05) ? "rollback" : "commit")
  })
}
