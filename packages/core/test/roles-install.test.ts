import { createClient, InvalidOptionError, PermissionDeniedError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { createDatabase } from "@sluice/testkit"
import { databasePerFile } from "@sluice/testkit/vitest"
import type { Pool } from "pg"
import { afterAll, describe, expect, inject, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { openPool } from "./helpers/harness.ts"
import { dropRoles, openLogin } from "./helpers/logins.ts"
import { noSqlDriver } from "./helpers/no-sql-driver.ts"
import { sqlOn } from "./helpers/sql-on.ts"

const kinds = ["producer", "consumer", "reader", "admin"] as const
const { url, name: database } = await databasePerFile()
const suffix = database.slice(-8)
const pool = openPool(url, 6)
const toDrop: string[] = []
afterAll(async () => {
  await dropRoles(pool, toDrop)
  await pool.end()
})
const { rows, value, fault } = sqlOn(pool)
const at = (schema: string, on: Pool = pool) => createClient(pgDriver(on), { schema, listen: false, notify: false })
const namesOf = (prefix: string): string[] => {
  const names = kinds.map((kind) => `${prefix}_${kind}`)
  toDrop.push(...names)
  return names
}
const rolesThere = async (names: readonly string[]): Promise<number> => (await pool.query("select from pg_roles where rolname = any($1)", [names])).rowCount!
const schemaThere = async (schema: string): Promise<boolean> => (await pool.query("select from pg_namespace where nspname = $1", [schema])).rowCount === 1
const may = (role: string, signature: string): Promise<boolean> => value("select has_function_privilege($1, $2::text, 'execute')", [role, signature])

describe("install({ roles })", () => {
  test.each<[field: string, roles: unknown]>([
    ["roles", 5],
    ["roles", "yes"],
    ["roles", null],
    ["roles", ["producer"]],
    ["roles.sender", { sender: "x" }],
    ...["", 5, null, {}, "a".repeat(64), "ü".repeat(32), "a\0b", "pg_mine", "public", "none"].flatMap((name) =>
      kinds.map((kind): [string, unknown] => [`roles.${kind}`, { [kind]: name }]),
    ),
  ])("refuses a wrong %s before any SQL: %j", async (field, roles) => {
    const { driver, calls } = noSqlDriver()
    const error = await errorOf<InvalidOptionError>(createClient(driver).admin.install({ roles: roles as never }))
    expect(error).toBeInstanceOf(InvalidOptionError)
    expect(error.field).toBe(field)
    expect(calls).toEqual([])
  })

  test("false makes none; true makes four without login, by the schema's name; again is the same", async () => {
    const schema = `four_${suffix}`
    const names = namesOf(schema)
    await at(schema).admin.install({ roles: false })
    expect(await rolesThere(names)).toBe(0)
    for (let again = 0; again < 2; again++) await at(schema).admin.install({ roles: true })
    const made = await rows("select rolname, rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls from pg_roles where rolname = any($1) order by 1", [names])
    expect(made).toEqual(names.toSorted().map((rolname) => ({ rolname, rolcanlogin: false, rolsuper: false, rolcreaterole: false, rolcreatedb: false, rolbypassrls: false })))
    expect(await at(schema).admin.verify()).toEqual({ ok: true, differences: [] })
  })

  test("takes some names of one's own, one role for two kinds, and the longest name there is", async () => {
    const schema = `mixed_${suffix}`
    const [both, longest] = [`Both ${suffix}`, `l${suffix}`.padEnd(63, "x")]
    toDrop.push(both, longest)
    namesOf(schema)
    await at(schema).admin.install({ roles: { producer: both, consumer: both, reader: longest } })
    expect(await Promise.all(["try_send(text,jsonb,jsonb,interval,timestamptz,int)", "try_delete(text,bigint[],bigint[])", "try_metrics(text)"].map((f) => may(both, `${schema}.${f}`)))).toEqual([true, true, false])
    expect(await may(longest, `${schema}.try_metrics(text)`)).toBe(true)
    expect(await may(`${schema}_admin`, `${schema}.try_metrics(text)`)).toBe(true)
  })

  test("in a transaction that rolls back leaves neither schema nor roles", async () => {
    const schema = `undone_${suffix}`
    const tx = await pool.connect()
    await tx.query("begin")
    await at(schema).admin.install({ roles: true, tx })
    await tx.query("rollback")
    tx.release()
    expect([await schemaThere(schema), await rolesThere(namesOf(schema))]).toEqual([false, 0])
  })

  test("uninstall leaves the roles, with no rights that would keep them from being dropped", async () => {
    const schema = `gone_${suffix}`
    const names = namesOf(schema)
    await at(schema).admin.install({ roles: true })
    await at(schema).admin.createQueue("q", { storage: "dedicated" })
    expect(await at(schema).admin.uninstall({ confirm: schema })).toBe(true)
    expect(await rolesThere(names)).toBe(4)
    await pool.query(`drop role ${names.join(", ")}`)
  })

  test("an upgrade finds the roles again, skips one that was dropped meanwhile, and leaves PUBLIC nothing", async () => {
    const schema = `later_${suffix}`
    const names = namesOf(schema)
    const client = at(schema)
    await client.admin.install({ roles: true })
    await client.admin.createQueue("apart", { storage: "dedicated" })
    await dropRoles(pool, [names[2]!])
    await pool.query(`revoke all on all functions in schema ${schema} from ${names[0]}; grant execute on all functions in schema ${schema} to public`)
    await pool.query(`create function ${schema}.made_meanwhile() returns int language sql as 'select 1'`)
    // As a later version would: its functions are replaced whole.
    const { statements } = client.admin.migrations().at(-1)!
    for (const statement of statements.slice(statements.findIndex((text) => text.includes("create or replace function")), -1)) await pool.query(statement)
    expect(await may(names[0]!, `${schema}.try_send(text,jsonb,jsonb,interval,timestamptz,int)`)).toBe(true)
    expect(await rows("select proname from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) where pronamespace = $1::regnamespace and grantee = 0", [schema])).toEqual([])
    expect(await rows("select proname from pg_proc where pronamespace = $1::regnamespace and prosecdef and proname ~ '_s[0-9]+$'", [schema])).toEqual([])
    await client.queue("apart").send("after")
    expect(await client.queue("apart").pop()).toMatchObject({ payload: "after" })
  })
})

describe("an owner without CREATEROLE", () => {
  test("installs with roles that are there; without them it is refused by name, and nothing is half-installed", async () => {
    const schema = `rented_${suffix}`
    const landlord = await openLogin(pool, url, `landlord_${suffix}`, { schema })
    await pool.query(`grant create on database ${database} to ${landlord.name}`)
    const error = await errorOf(landlord.client.admin.install({ roles: true }))
    expect(error).toBeInstanceOf(PermissionDeniedError)
    expect(error.message).toMatch(/permission denied to create role/)
    expect([await schemaThere(schema), await rolesThere(namesOf(schema))]).toEqual([false, 0])

    const names = namesOf(schema)
    for (const name of names) await pool.query(`create role ${name}`)
    await landlord.client.admin.install({ roles: true })
    const sender = await openLogin(pool, url, `sender_${suffix}`, { schema, of: [names[0]!] })
    const admin = await openLogin(pool, url, `admin_${suffix}`, { schema, of: [names[3]!] })
    await admin.client.admin.createQueue("q", { storage: "dedicated" })
    await sender.client.queue("q").send("hello")
    expect(await admin.client.queue("q").read()).toMatchObject({ payload: "hello" })
    expect(await errorOf(sender.client.queue("q").read())).toBeInstanceOf(PermissionDeniedError)
    expect(await rows("select distinct pg_get_userbyid(relowner) as owner from pg_class where relnamespace = $1::regnamespace", [schema])).toEqual([{ owner: landlord.name }])
  })

  test("with CREATEROLE makes them itself, though it is no superuser", async () => {
    const schema = `maker_${suffix}`
    const maker = await openLogin(pool, url, `maker_${suffix}`, { schema, attributes: "createrole" })
    await pool.query(`grant create on database ${database} to ${maker.name}`)
    const names = namesOf(schema)
    await maker.client.admin.install({ roles: true })
    expect(await rolesThere(names)).toBe(4)
  })
})

describe("two databases of one cluster", () => {
  test("share roles of the same names, also when both install at once; each grants only its own", async () => {
    const other = await createDatabase(inject("serverUrl"), "roles_other")
    const second = openPool(other.url, 6)
    const schema = `both_${suffix}`
    const names = namesOf(schema)
    const installs = [pool, second].flatMap((one) => Array.from({ length: 4 }, () => at(schema, one).admin.install({ roles: true })))
    expect(await Promise.all(installs)).toHaveLength(8)
    for (const one of [pool, second]) {
      const { rows: [row] } = await one.query(`select has_function_privilege($1, $2::text, 'execute') as may`, [names[1], `${schema}.maintain(interval,int,int,interval)`])
      expect(row).toEqual({ may: true })
    }
    await at(schema).admin.uninstall({ confirm: schema })
    const { rows: [still] } = await second.query("select has_schema_privilege($1, $2::text, 'usage') as may", [names[0], schema])
    expect(still).toEqual({ may: true })
    await second.end()
    await other.drop()
  })
})

describe("set_role from SQL", () => {
  test("makes or finds a role whose name wants quotes, and refuses what is no kind or no name", async () => {
    const schema = `by_sql_${suffix}`
    await at(schema).admin.install()
    for (const name of [`it's "quoted"; ${suffix}`, `current_user ${suffix}`, `$1 \\ ${suffix}`]) {
      toDrop.push(name)
      await rows(`select ${schema}.set_role('producer', $1)`, [name])
      await rows(`select ${schema}.set_role('producer', $1)`, [name])
      expect(await may(name, `${schema}.try_send(text,jsonb,jsonb,interval,timestamptz,int)`)).toBe(true)
      expect(await may(name, `${schema}.try_metrics(text)`)).toBe(false)
    }
    for (const kind of ["owner", "", null]) expect(await fault("22023", `select ${schema}.set_role($1, 'x')`, [kind])).toMatchObject({ argument: "p_kind" })
    for (const name of ["", null]) expect(await fault("22023", `select ${schema}.set_role('reader', $1)`, [name])).toMatchObject({ argument: "p_name" })
    for (const name of ["public", "none", "pg_mine"]) expect((await errorOf(rows(`select ${schema}.set_role('reader', $1)`, [name]))).code).toBe("42939")
  })
})

describe.each(["message", "archive", "Mixed", "select", "try_read", "queue"])("a schema called %s", (schema) => {
  test("has roles and dedicated storages like any other", async () => {
    const client = at(schema)
    const roles = Object.fromEntries(kinds.map((kind) => [kind, `${schema}_${suffix}_${kind}`]))
    toDrop.push(...Object.values(roles))
    await client.admin.install({ roles })
    const options = { partition: { by: "id", interval: 10, retention: 10, archive: true } } as const
    for (const [name, storage] of [["own", { storage: "dedicated" }], ["cut", options]] as const) {
      await client.admin.createQueue(name, storage)
      const queue = client.queue(name)
      await queue.sendBatch([1, 2, 3].map((payload) => ({ payload })))
      await queue.archive((await queue.read())!)
      await queue.delete((await queue.read())!)
      expect(await queue.pop()).toMatchObject({ payload: 3 })
      expect(await client.admin.archive.count({ queue: name })).toBe(1)
      expect(await client.admin.dropQueue(name)).toBe(true)
    }
    expect(await client.admin.verify()).toEqual({ ok: true, differences: [] })
    expect(await client.admin.uninstall({ confirm: schema })).toBe(true)
  })
})
