import { checkOptions } from "../check.ts"
import type { Session } from "../session.ts"
import type { TxOption } from "../types.ts"

/** A count of a queue's messages by state, exact at `scrapedAt`. It visits every message of the queue. */
export interface QueueMetrics {
  readonly name: string
  /** Every message there is, in whatever state. */
  readonly length: number
  /** Ready to be read. */
  readonly visible: number
  /** Leased to a reader. */
  readonly inFlight: number
  /** Waiting for a time to come. */
  readonly delayed: number
  /** Age of the message that was sent first, in milliseconds; null when empty. */
  readonly oldestAge: number | null
  /** Age of the message that was sent last, in milliseconds; null when empty. */
  readonly newestAge: number | null
  /** How many were ever sent. Sends that rolled back may count. */
  readonly total: number
  readonly scrapedAt: Date
}

interface MetricsRow {
  readonly name: string
  readonly length: number
  readonly visible: number
  readonly inflight: number
  readonly delayed: number
  readonly oldest: number | null
  readonly newest: number | null
  readonly total: number
  readonly scraped: number
}

const statement = {
  name: "metrics",
  text: `select fault::text as fault, name, length::float8 as length, visible::float8 as visible, in_flight::float8 as inflight,
      delayed::float8 as delayed, (extract(epoch from oldest) * 1000)::float8 as oldest,
      (extract(epoch from newest) * 1000)::float8 as newest, total::float8 as total,
      (extract(epoch from scraped_at) * 1000)::float8 as scraped
    from {schema}.try_metrics($1::text)`,
}

/** Of one queue, or of all where `queue` is null. */
export async function metrics<Tx>(session: Session<Tx>, queue: string | null, options: TxOption<Tx>): Promise<QueueMetrics[]> {
  checkOptions(options, ["tx"], "options")
  const rows = await session.run<MetricsRow>(statement, [queue], options)
  return rows.map((row) => ({
    name: row.name,
    length: row.length,
    visible: row.visible,
    inFlight: row.inflight,
    delayed: row.delayed,
    oldestAge: row.oldest,
    newestAge: row.newest,
    total: row.total,
    scrapedAt: new Date(row.scraped),
  }))
}
