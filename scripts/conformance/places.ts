import type { DriverUnderTest, Isolation } from "@sluice/conformance"

/** What PgBouncer in transaction mode takes away from any client. */
export const behindPooler: NonNullable<DriverUnderTest["capabilities"]> = {
  direct: "PgBouncer shares server processes between clients",
  listen: "PgBouncer in transaction mode swallows LISTEN: core polls",
}

/** Of a session that begins every transaction so, single statements included. */
export const defaultIsolation: readonly Isolation[] = ["repeatable read", "serializable"]

/** What cannot be asked for in such a session. */
export const strictReaders: { readonly [group: string]: string } = {}
