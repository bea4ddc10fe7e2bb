import type { MakeDriver } from "@sluice/conformance"

/** One way to set an adapter up, such as `pool of one`. */
export interface Mode {
  readonly name: string
  readonly make: MakeDriver
  /** Where the database is. Default: on the server. */
  readonly place?: "server" | "pgbouncer" | "in-process"
  /** Changes the process, which therefore runs nothing else. */
  readonly before?: () => void
  /** Groups that have no meaning here, and why. */
  readonly without?: { readonly [group: string]: string }
}

export interface Adapter {
  readonly name: string
  readonly modes: readonly Mode[]
  /** The package that stands in for `drizzle-orm`. */
  readonly drizzle?: string
}
