import { type Client, createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { escapeIdentifier, type Pool, type PoolClient } from "pg"
import { afterAll } from "vitest"
import { openPool } from "./harness.ts"

export interface Login {
  readonly name: string
  readonly url: string
  readonly pool: Pool
  readonly client: Client<PoolClient>
}

export interface LoginOptions {
  readonly schema: string
  /** Roles that the login is granted. */
  readonly of?: readonly string[]
  /** Of CREATE ROLE. */
  readonly attributes?: string
  /** Settings that its sessions begin with. */
  readonly settings?: Readonly<Record<string, string>>
  readonly listen?: boolean
}

/** A login of the cluster with a client, dropped with all it owns when the file's tests are over. */
export async function openLogin(owner: Pool, url: string, name: string, options: LoginOptions): Promise<Login> {
  const { schema, of = [], attributes = "", settings = {}, listen = false } = options
  const own = new URL(url)
  own.username = name
  own.password = "secret"
  await owner.query(`create role ${escapeIdentifier(name)} login password 'secret' ${attributes}`)
  for (const role of of) await owner.query(`grant ${escapeIdentifier(role)} to ${escapeIdentifier(name)}`)
  for (const [key, value] of Object.entries(settings)) await owner.query(`alter role ${escapeIdentifier(name)} set ${key} = ${value}`)
  const pool = openPool(own.href, 3)
  const client = createClient(pgDriver(pool), { schema, listen, notify: listen })
  afterAll(async () => {
    await client.close()
    await pool.end()
    await dropRoles(owner, [name])
  })
  return { name, url: own.href, pool, client }
}

/** Drops roles, and what they own in this database. */
export async function dropRoles(owner: Pool, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const { rowCount } = await owner.query("select from pg_roles where rolname = $1", [name])
    if (rowCount === 1) await owner.query(`drop owned by ${escapeIdentifier(name)} cascade; drop role ${escapeIdentifier(name)}`)
  }
}
