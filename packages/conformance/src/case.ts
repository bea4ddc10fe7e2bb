import type { Driver, QueueOptions, SqlValue } from "@sluice/core"
import type { Capability, DriverSetup, DriverUnderTest } from "./harness.ts"
import type { Rule } from "./rules.ts"
import type { WireCost, WireTap } from "./wire-tap.ts"

/** One thing that must hold. Data: any runner can run it. */
export interface ConformanceCase {
  /** Unique in its group. Says what a correct driver does. */
  readonly name: string
  readonly rule: Rule
  readonly needs?: readonly Capability[]
  /** In milliseconds, where the run's own (15 s) does not suit. */
  readonly timeout?: number
  run(context: CaseContext): Promise<void>
}

export interface ConformanceGroup {
  readonly name: string
  readonly cases: readonly ConformanceCase[]
}

export interface ConnectOptions extends Pick<DriverSetup, "max"> {
  /** Goes past the kit's proxy, so that the process holds no sockets but the driver's own. */
  readonly untapped?: boolean
}

/** What a case works with. Everything made through it is closed after the case. */
export interface CaseContext {
  readonly driver: Driver
  readonly harness: DriverUnderTest
  /** Of the database under test, through the proxy. */
  readonly url: string
  /** What every queue is created with unless a case says otherwise: where the run stores them. */
  readonly queueOptions?: QueueOptions
  /** The proxy between driver and server. Only for cases that need `tap`. */
  readonly tap: WireTap
  /** Shorthand for `driver.query`. */
  exec<Row>(text: string, values?: readonly SqlValue[]): Promise<Row[]>
  /** Another driver with connections of its own on the same database. */
  connect(options?: ConnectOptions): Promise<DriverUnderTest>
  /** A name that no other case uses: lower-case, fit for a table, a channel or a statement. */
  unique(prefix: string): string
  /** Creates a table and returns its qualified name. */
  table(columns: string): Promise<string>
  /** Runs after the case, also when it failed: the last added first. */
  after(cleanup: () => Promise<unknown>): void
  /** Puts what an operation costs into the report. */
  record(operation: string, cost: WireCost): void
}
