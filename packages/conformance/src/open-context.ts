import { randomBytes } from "node:crypto"
import type { QueueOptions } from "@sluice/core"
import { fail, inTime } from "./assert.ts"
import type { CaseContext } from "./case.ts"
import type { MakeDriver } from "./harness.ts"
import { schema, type Place } from "./open-place.ts"
import type { OperationCost } from "./report.ts"

export interface OpenContext {
  readonly context: CaseContext
  readonly costs: OperationCost[]
  /** Closes what the case made. Rejects if a driver does not let go. */
  close(): Promise<void>
}

let counter = 0

export async function openContext(makeDriver: MakeDriver, place: Place, queueOptions?: QueueOptions): Promise<OpenContext> {
  const cleanups: (() => Promise<unknown>)[] = []
  const costs: OperationCost[] = []
  const connect: CaseContext["connect"] = async (options = {}) => {
    const harness = await makeDriver(place.setup(options))
    cleanups.push(() => inTime(harness.close(), "close() of the set-up: is a connection still in use?"))
    return harness
  }
  const unique: CaseContext["unique"] = (prefix) => `${prefix}_${randomBytes(3).toString("hex")}_${++counter}`
  const harness = await connect()
  const { driver } = harness
  const context: CaseContext = {
    driver,
    harness,
    url: place.setup().url,
    queueOptions,
    get tap() {
      return place.tap ?? fail("a case that uses the tap must need it")
    },
    exec: (text, values) => driver.query(text, values),
    connect,
    unique,
    async table(columns) {
      const name = `${schema}.${unique("t")}`
      await driver.query(`create table ${name} (${columns})`)
      return name
    },
    after: (cleanup) => void cleanups.push(cleanup),
    record: (operation, { statements, roundTrips }) => void costs.push({ operation, statements, roundTrips }),
  }
  return { context, costs, close: () => closeAll(cleanups, place) }
}

async function closeAll(cleanups: (() => Promise<unknown>)[], place: Place): Promise<void> {
  const errors: unknown[] = []
  for (const cleanup of cleanups.reverse()) {
    try {
      await cleanup()
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length === 0) return
  place.tap?.cut() // what hangs must not keep the next case from its locks
  throw errors[0]
}
