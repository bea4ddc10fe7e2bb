import { checkOptions, describe } from "../check.ts"
import type { SqlExecutor } from "../driver.ts"
import { InvalidOptionError } from "../errors.ts"

/**
 * Roles of the cluster that may call a part of Sluice and touch no table: grant them to the logins of your programs. Each is
 * made, without login, unless it is there. Default names: the schema's and `_producer`, `_consumer`, `_reader`, `_admin`.
 */
export interface Roles {
  /** Sends. */
  readonly producer?: string
  /** Reads and settles, and runs maintenance. */
  readonly consumer?: string
  /** Looks: metrics, queues, messages, archive. */
  readonly reader?: string
  /** All of these, and creates, changes, purges and drops queues, and writes to messages by id. */
  readonly admin?: string
}

const kinds = ["producer", "consumer", "reader", "admin"] as const

/** Kind and name of each role to set up. */
export function checkRoles(roles: Roles | boolean | undefined, schema: string): [kind: string, name: string][] {
  if (roles === undefined || roles === false) return []
  if (roles === true) return kinds.map((kind) => [kind, `${schema}_${kind}`])
  checkOptions(roles, kinds, "roles")
  return kinds.map((kind) => {
    const name: unknown = roles[kind] === undefined ? `${schema}_${kind}` : roles[kind]
    if (typeof name !== "string" || !/^[^\0]{1,63}$/.test(name) || new TextEncoder().encode(name).length > 63 || /^(pg_|public$|none$)/.test(name)) {
      throw new InvalidOptionError(`roles.${kind}`, name, `must be the name of a role: 1 to 63 bytes, not public, none or pg_…, got ${describe(name)}`)
    }
    return [kind, name]
  })
}

/** Needs CREATEROLE where one has to be made. */
export async function setRoles(executor: SqlExecutor, schema: string, roles: readonly [string, string][]): Promise<void> {
  for (const role of roles) await executor.query(`select "${schema}".set_role($1::text, $2::text)::text as done`, role)
}
