import type { Session } from "../contestant.ts"
import { createPlaces } from "../create-places.ts"
import { formatNumber } from "../format-number.ts"
import { interleave } from "../interleave.ts"
import { payload, thousand, warmUps } from "../payloads.ts"
import { rateOf, rateOutcome, type RateRow, rateRows } from "../rates.ts"
import { repeat, type Turn } from "../repeat.ts"
import type { Sizes } from "../sizes.ts"
import { withSessions } from "../with-sessions.ts"
import type { Bench, Place, Workload } from "../workload.ts"

interface Case {
  readonly name: string
  readonly lanes: number
  calls(sizes: Sizes): number
  /** Sends, and returns how many. */
  step(session: Session): Promise<number>
}

async function sendOne(session: Session): Promise<number> {
  await session.send(payload(0))
  return 1
}

async function sendThousand(session: Session): Promise<number> {
  await session.sendBatch(thousand)
  return thousand.length
}

const cases: readonly Case[] = [
  { name: "one by one", lanes: 1, calls: (sizes) => sizes.sendOneByOne, step: sendOne },
  { name: "32 at once", lanes: 32, calls: (sizes) => sizes.sendAtOnce, step: sendOne },
  { name: "by 1000", lanes: 1, calls: (sizes) => sizes.sendBatches, step: sendThousand },
]

export const send: Workload = {
  name: "send",
  about: "messages sent one by one, 32 at once, and in batches of 1000",
  async run(bench) {
    const places = await createPlaces(bench)
    const rows: RateRow[] = []
    for (const one of cases) {
      const turn = (place: Place): Promise<Turn> => takeTurn(bench, place, one)
      const turns = await interleave(bench, `send ${one.name}`, places, turn, (result) => `${formatNumber(rateOf(result))}/s`)
      rows.push(...rateRows(one.name, places, turns))
    }
    return rateOutcome("Send: messages a second", rows)
  },
}

function takeTurn(bench: Bench, place: Place, { lanes, calls, step }: Case): Promise<Turn> {
  return withSessions(place, [{ connections: lanes }], async (session) => {
    const limits = { lanes, seconds: bench.sizes.turnSeconds, stop: bench.stop }
    // Opens the connections, and has everything prepared and planned.
    await repeat({ ...limits, calls: lanes * warmUps }, () => step(session))
    return repeat({ ...limits, calls: calls(bench.sizes) }, () => step(session))
  })
}
