import type { DriverUnderTest, GroupName, Isolation } from "@sluice/conformance"
import type { Mode } from "./adapter.ts"

/** What PgBouncer in transaction mode takes away from any client. */
export const behindPooler: NonNullable<DriverUnderTest["capabilities"]> = {
  direct: "PgBouncer shares server processes between clients",
  listen: "PgBouncer in transaction mode swallows LISTEN: core polls",
}

/** Of a session that begins every transaction so, single statements included. */
export const defaultIsolation: readonly Isolation[] = ["repeatable read", "serializable"]

/** The groups that need nothing but a driver. */
export const driverGroups: readonly GroupName[] = ["wire", "errors", "transaction", "listen", "isolation", "lifecycle", "budget"]

/** What such a session can be asked for. */
export const strictOnly: NonNullable<Mode["only"]> = {
  groups: [...driverGroups, "queue"],
  because: "their own transactions read, which needs READ COMMITTED; `joined` tries single transactions of these levels in other modes",
}

/** For another version of a library: the first one runs everything. */
export function briefly(modes: readonly Mode[]): Mode[] {
  return modes.map((mode) => ({ ...mode, brief: mode.name !== "plain" }))
}
