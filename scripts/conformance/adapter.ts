import type { GroupName, MakeDriver } from "@sluice/conformance"
import type { QueueOptions } from "@sluice/core"

/** One way to set an adapter up, such as `pool of one`. */
export interface Mode {
  readonly name: string
  readonly make: MakeDriver
  /** Where the database is. Default: on the server. */
  readonly place?: "server" | "pgbouncer" | "in-process"
  /** Changes the process, which therefore runs nothing else. */
  readonly before?: () => void
  /** The groups that have a meaning here, and why the others have none. Default: all. */
  readonly only?: { readonly groups: readonly GroupName[]; readonly because: string }
  /** What every queue is created with: where its messages are. Default: nothing. */
  readonly queueOptions?: QueueOptions
  /** Runs the groups of core, or those of them that are not named here, only with `--full`: a line that is much like it runs them. */
  readonly brief?: boolean | readonly GroupName[]
}

export interface Adapter {
  readonly name: string
  readonly modes: readonly Mode[]
  /** The package that stands in for `drizzle-orm`. */
  readonly drizzle?: string
}
