import type { Session } from "../contestant.ts"
import { createPlaces } from "../create-places.ts"
import { formatNumber } from "../format-number.ts"
import { interleave } from "../interleave.ts"
import { fill, warmUps } from "../payloads.ts"
import { rateOf, rateOutcome, type RateRow, rateRows } from "../rates.ts"
import { repeat, type Turn } from "../repeat.ts"
import { vacuum } from "../with-client.ts"
import { withSessions } from "../with-sessions.ts"
import type { Bench, Place, Workload } from "../workload.ts"

export const drain: Workload = {
  name: "drain",
  about: "messages read and deleted by one reader, in batches of 1, 10, 100 and 1000",
  async run(bench) {
    const places = await createPlaces(bench)
    const rows: RateRow[] = []
    for (const [size, count] of Object.entries(bench.sizes.drain)) {
      const name = `by ${size}`
      const turn = (place: Place): Promise<Turn> => takeTurn(bench, place, Number(size), count)
      const turns = await interleave(bench, `drain ${name}`, places, turn, (result) => `${formatNumber(rateOf(result))}/s`)
      rows.push(...rateRows(name, places, turns))
    }
    return rateOutcome("Drain: messages read and deleted a second", rows)
  },
}

function takeTurn(bench: Bench, place: Place, size: number, count: number): Promise<Turn> {
  return withSessions(place, [{ connections: 1 }], async (session) => {
    await fill(session, count + warmUps * size, bench.stop)
    await vacuum(place.url)
    for (let i = 0; i < warmUps; i++) await readAndDelete(session, size)
    const limits = { calls: Math.ceil(count / size), seconds: bench.sizes.turnSeconds, stop: bench.stop }
    return repeat(limits, () => readAndDelete(session, size))
  })
}

/** Returns how many. There are enough: a reader that finds none would be measured doing nothing. */
export async function readAndDelete(session: Session, limit: number): Promise<number> {
  const messages = await session.readBatch(limit)
  if (messages.length === 0) throw new Error("Messages wait, and a read found none of them.")
  await session.deleteBatch(messages)
  return messages.length
}
