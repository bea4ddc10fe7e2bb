import { createClient, type Driver } from "@sluice/core"
import { inTime } from "./assert.ts"
import { beginOf, hopCases, type HopCase, type HopSide } from "./cases/hops.ts"
import type { MakeDriver } from "./harness.ts"
import { openPlace } from "./open-place.ts"
import { explain } from "./open-run.ts"
import { summarize, type CaseReport, type ConformanceReport } from "./report.ts"

export interface HopOptions {
  /** Connects as a role that may create databases: the hops take place in a fresh one. */
  readonly url: string
  /** Per case, in milliseconds. Default 15000. */
  readonly timeout?: number
  /** Called after every case. */
  readonly onCase?: (report: CaseReport) => void
}

interface NamedSide extends HopSide {
  readonly name: string
  close(): Promise<void>
}

/**
 * Sends on one driver, reads and settles on another, for every ordered pair of the given ones: they must agree on every
 * byte of a message. Rejects only if the run itself cannot begin or end.
 */
export async function runHops(
  makers: { readonly [name: string]: MakeDriver },
  options: HopOptions,
): Promise<ConformanceReport> {
  const names = Object.keys(makers)
  if (names.length < 2) throw new TypeError(`a hop needs two drivers, got ${names.join(", ") || "none"}`)
  const place = await openPlace(Object.values(makers)[0]!, { url: options.url })
  const sides: NamedSide[] = []
  const reports: CaseReport[] = []
  try {
    for (const name of names) sides.push(await openSide(name, makers[name]!, place.setup({ untapped: true }).url))
    await sides[0]!.client.admin.install()
    for (const from of sides) {
      for (const to of sides.filter((side) => side !== from)) {
        for (const one of hopCases) {
          const report = await runHop(one, from, to, `hop_${reports.length}`, options.timeout)
          reports.push(report)
          options.onCase?.(report)
        }
      }
    }
  } finally {
    await Promise.allSettled(sides.map((side) => side.close()))
    await place.close()
  }
  return summarize(names.join(", "), "hops", reports)
}

async function openSide(name: string, makeDriver: MakeDriver, url: string): Promise<NamedSide> {
  const harness = await makeDriver({ url })
  const { driver } = harness
  // Its own wake-ups are the hop's to send.
  const client = createClient(driver, { listen: false, notify: false })
  return { name, client, driver, begin: beginOf(harness), listener: driver.listen && (() => listenerOn(driver)), close: harness.close }
}

/** A client on the same driver, told apart by when its LISTEN stands. */
function listenerOn(driver: Driver): ReturnType<NonNullable<HopSide["listener"]>> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const listen: Driver["listen"] = async (...subscription) => {
    const end = driver.listen!(...subscription)
    end.then(() => resolve(), reject)
    return end
  }
  // The pool is the side's: closing the client must leave it open.
  return { client: createClient({ ...driver, listen, close: undefined }), listening: promise }
}

async function runHop(one: HopCase, from: NamedSide, to: NamedSide, queue: string, timeout = 15_000): Promise<CaseReport> {
  const head = { group: "hops", name: `${from.name} → ${to.name}: ${one.name}`, rule: one.rule, costs: [] }
  if (one.needs?.includes("listen") && to.listener === undefined) {
    return { ...head, status: "skipped", reason: "the reading driver has no listen()", ms: 0 }
  }
  const start = performance.now()
  const elapsed = (): number => Math.round((performance.now() - start) * 10) / 10
  try {
    await from.client.admin.createQueue(queue)
    await inTime(one.run({ from, to, queue }), "the hop did not end", timeout)
    return { ...head, status: "passed", ms: elapsed() }
  } catch (reason) {
    return { ...head, status: "failed", error: explain(reason, one), ms: elapsed() }
  }
}
