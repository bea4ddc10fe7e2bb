import {
  createClient,
  InvalidNameError,
  InvalidOptionError,
  IsolationLevelError,
  PermissionDeniedError,
  SchemaVersionError,
} from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { databasePerFile } from "@sluice/testkit/vitest"
import { Client as Connection } from "pg"
import { afterAll, describe, expect, test } from "vitest"
import { startChild } from "./helpers/child.ts"
import { errorOf } from "./helpers/error-of.ts"
import { inTransaction, openPool } from "./helpers/harness.ts"

const { url, name: database } = await databasePerFile()
const pool = openPool(url, 4)
afterAll(() => pool.end())

const at = (schema: string) => createClient(pgDriver(pool), { schema, listen: false, notify: false })
const schemaExists = async (schema: string): Promise<boolean> =>
  (await pool.query("select 1 from pg_namespace where nspname = $1", [schema])).rowCount === 1

describe("install", () => {
  test("a second install says from where and keeps queues, messages and archive (AsyncMQ wipes them)", async () => {
    const client = at("twice")
    const { from, to } = await client.admin.install()
    expect(from).toBe(0)
    expect(to).toBeGreaterThan(0)
    await client.admin.createQueue("kept", { levels: 2 })
    const queue = client.queue("kept")
    await queue.send("archived")
    await queue.archive((await queue.read())!)
    const id = await queue.send("kept")
    expect(await client.admin.install()).toEqual({ from: to, to })
    expect((await client.admin.getQueue("kept")).levels).toBe(2)
    expect(await client.admin.archive.count({ queue: "kept" })).toBe(1)
    expect(await queue.read()).toMatchObject({ id, payload: "kept" })
  })

  test("20 connections at once all succeed, and one of them does the work", async () => {
    const pools = Array.from({ length: 20 }, () => openPool(url, 1))
    const results = await Promise.all(
      pools.map((own) => createClient(pgDriver(own), { schema: "crowd" }).admin.install()),
    )
    await Promise.all(pools.map((own) => own.end()))
    expect(results.filter(({ from }) => from === 0)).toHaveLength(1)
    expect(new Set(results.map(({ to }) => to)).size).toBe(1)
    const versions = at("crowd").admin.migrations().length
    expect(
      (await pool.query("select count(*)::int as n, count(distinct version)::int as d from crowd.migration")).rows[0],
    ).toEqual({ n: versions, d: versions })
  })

  test("6 processes at once all succeed, and one of them does the work", async () => {
    const children = Array.from({ length: 6 }, () => startChild("install-child.ts", url, "processes"))
    const results = await Promise.all(children.map((child) => child.next<{ from: number; to: number }>()))
    expect(await Promise.all(children.map((child) => child.ended))).toEqual([0, 0, 0, 0, 0, 0])
    expect(results.filter(({ from }) => from === 0)).toHaveLength(1)
  }, 40_000)

  test.each(["Mixed_Case", "select", "USER", "_x", "a".repeat(50)])("the schema may be called %s", async (schema) => {
    const client = at(schema)
    await client.admin.install()
    expect(await client.admin.install()).toMatchObject({ from: (await client.admin.install()).to })
    expect(await schemaExists(schema)).toBe(true)
    await client.admin.createQueue("q", { notify: "transaction" })
    await client.queue("q").send({ n: 1 })
    expect(await client.admin.metrics("q")).toMatchObject({ length: 1, total: 1 })
    expect(await client.queue("q").pop()).toMatchObject({ payload: { n: 1 } })
    expect(await client.admin.dropQueue("q")).toBe(true)
  })

  test.each(["", "1a", "a-b", "a.b", 'a"; drop table x', "pg_x", "PG_x", "é", "a".repeat(51), 5, null])(
    "no schema is called %j",
    (schema) => expect(() => at(schema as string)).toThrow(InvalidNameError),
  )

  test("schemas that differ only in case do not meet", async () => {
    for (const schema of ["case_a", "Case_A"]) await at(schema).admin.install()
    await at("case_a").admin.createQueue("mine")
    expect(await at("Case_A").admin.listQueues()).toEqual([])
  })

  test("two schemas side by side do not see each other, and one goes without the other", async () => {
    const [left, right] = [at("left_side"), at("right_side")]
    for (const client of [left, right]) {
      await client.admin.install()
      await client.admin.createQueue("same")
    }
    await left.queue("same").send("left")
    expect(await right.queue("same").read()).toBeNull()
    expect(await right.admin.metricsAll()).toMatchObject([{ length: 0, total: 0 }])
    expect(await left.admin.uninstall({ confirm: "left_side" })).toBe(true)
    await right.queue("same").send("right")
    expect(await right.queue("same").read()).toMatchObject({ payload: "right" })
  })

  test("the printed migrations, applied by another tool, give the schema that install gives", async () => {
    const client = at("printed")
    const connection = new Connection({ connectionString: url })
    await connection.connect()
    for (const { statements } of client.admin.migrations())
      await connection.query(`begin;\n${statements.join(";\n")};\ncommit;`)
    await connection.end()
    const installed = at("installed")
    await installed.admin.install()
    expect(await client.admin.verify()).toEqual(await installed.admin.verify())
    expect(await client.admin.install()).toEqual(await installed.admin.install())
    expect(
      await pool.query("select version, name, breaking from printed.migration order by 1").then((r) => r.rows),
    ).toEqual(
      await pool.query("select version, name, breaking from installed.migration order by 1").then((r) => r.rows),
    )
    await client.admin.createQueue("q")
    await client.queue("q").send(1)
    expect(await client.queue("q").pop()).toMatchObject({ payload: 1 })
  })
})

describe("install by a role", () => {
  const [owner, guest] = [`${database}_owner`, `${database}_guest`]

  test("that owns only its schema works, and so does everything after", async () => {
    await pool.query(`create role ${owner} login password 'secret'`)
    await pool.query(`revoke create, temporary on database ${database} from public`)
    await pool.query(`create schema rented authorization ${owner}`)
    const own = openPool(as(owner), 2)
    const client = createClient(pgDriver(own), { schema: "rented" })
    expect(await client.admin.install()).toMatchObject({ from: 0 })
    expect(await client.admin.install()).not.toMatchObject({ from: 0 })
    await client.admin.createQueue("dead")
    await client.admin.createQueue("q", { deadLetter: "dead", maxAttempts: 1 })
    await client.queue("q").send("a", { delay: "1h" })
    await client.queue("q").send("b")
    const message = (await client.queue("q").read())!
    await client.queue("q").retry(message, { error: "no" })
    expect(await client.admin.metricsAll()).toMatchObject([
      { name: "dead", length: 1 },
      { name: "q", length: 1 },
    ])
    expect(await client.admin.dropQueue("dead", { force: true })).toBe(true)
    await own.end()
  })

  test("that may not create a schema says so, and leaves nothing", async () => {
    await pool.query(`create role ${guest} login password 'secret'`)
    const own = openPool(as(guest), 1)
    const error = await errorOf(createClient(pgDriver(own), { schema: "forbidden" }).admin.install())
    expect(error).toBeInstanceOf(PermissionDeniedError)
    expect(error.code).toBe("permission_denied")
    expect(error.cause).toMatchObject({ code: "42501" })
    expect(await schemaExists("forbidden")).toBe(false)
    await own.end()
  })

  afterAll(async () => {
    await pool.query(`drop owned by ${owner}, ${guest}`)
    await pool.query(`drop role ${owner}, ${guest}`)
  })
  function as(role: string): string {
    const own = new URL(url)
    own.username = role
    own.password = "secret"
    return own.href
  }
})

describe("install in the caller's transaction", () => {
  test("is there after its commit, together with what else it did", async () => {
    const client = at("committed")
    await inTransaction(pool, async (tx) => {
      await client.admin.install({ tx })
      await client.admin.createQueue("q", { tx })
      await client.queue("q").send("inside", { tx })
      expect(await schemaExists("committed")).toBe(false)
    })
    expect(await client.queue("q").read()).toMatchObject({ payload: "inside" })
  })

  test("leaves nothing after its rollback", async () => {
    await inTransaction(pool, (tx) => at("rolled_back").admin.install({ tx }), { end: "rollback" })
    expect(await schemaExists("rolled_back")).toBe(false)
    expect((await errorOf(at("rolled_back").admin.listQueues())).code).toBe("schema_not_installed")
  })

  test.each(["repeatable read", "serializable"])(
    "at %s it is refused, and the transaction still commits",
    async (level) => {
      const schema = level.replace(" ", "_")
      const error = await inTransaction(
        pool,
        async (tx) => {
          const refusal = await errorOf<IsolationLevelError>(at(schema).admin.install({ tx }))
          await tx.query(`create table public.after_${schema} ()`)
          return refusal
        },
        { begin: `begin isolation level ${level}` },
      )
      expect(error).toBeInstanceOf(IsolationLevelError)
      expect(error).toMatchObject({ code: "isolation_level", actual: level })
      expect((await pool.query(`select to_regclass('public.after_${schema}') is not null as there`)).rows[0]).toEqual({
        there: true,
      })
      expect(await schemaExists(schema)).toBe(false)
    },
  )
})

describe("a newer schema", () => {
  test("that did not break anything serves this version, and install leaves it alone", async () => {
    const client = at("newer")
    const { to } = await client.admin.install()
    await pool.query("insert into newer.migration (version, name, breaking) values ($1, 'later', false)", [to + 3])
    expect(await client.admin.install()).toEqual({ from: to + 3, to: to + 3 })
    await client.admin.createQueue("q")
    expect(await client.queue("q").send(1)).toMatch(/^\d+$/)
  })

  test("that broke this version is refused, naming both versions", async () => {
    const client = at("broken")
    const { to } = await client.admin.install()
    await pool.query(
      "insert into broken.migration (version, name, breaking) values ($1, 'later', true), ($2, 'last', false)",
      [to + 1, to + 2],
    )
    const error = await errorOf<SchemaVersionError>(client.admin.install())
    expect(error).toBeInstanceOf(SchemaVersionError)
    expect(error).toMatchObject({ code: "schema_version", schema: "broken", installed: to + 2, expected: to })
    expect(error.message).toContain(String(to + 2))
    expect(error.message).toContain(String(to))
  })
})

describe("uninstall", () => {
  test("touches no schema that is not Sluice's, and none with tables of others", async () => {
    await pool.query("create schema theirs; create table theirs.invoices (id int)")
    const theirs = createClient(pgDriver(pool), { schema: "theirs", listen: false })
    expect(await theirs.admin.uninstall({ confirm: "theirs" })).toBe(false)
    await theirs.admin.install()
    expect(await errorOf(theirs.admin.uninstall({ confirm: "theirs" }))).toMatchObject({
      code: "schema_not_empty",
      schema: "theirs",
      relations: ["invoices"],
    })
    expect((await pool.query("select 1 from theirs.invoices")).rowCount).toBe(0)
    expect(() => createClient(pgDriver(pool), { schema: "public" })).toThrow(InvalidNameError)
  })

  test("needs the schema's name once more, then drops everything and says whether there was one", async () => {
    const client = at("goner")
    await client.admin.install()
    await client.admin.createQueue("q")
    for (const options of [
      undefined,
      {},
      { confirm: "" },
      { confirm: true },
      { confirm: "sluice" },
      { confirm: "Goner" },
    ]) {
      const error = await errorOf<InvalidOptionError>(client.admin.uninstall(options as never))
      expect(error).toBeInstanceOf(InvalidOptionError)
      expect(error).toMatchObject({ field: "confirm" })
    }
    expect(await client.admin.getQueue("q")).toMatchObject({ name: "q" })
    expect(await client.admin.uninstall({ confirm: "goner" })).toBe(true)
    expect(await schemaExists("goner")).toBe(false)
    expect(await client.admin.uninstall({ confirm: "goner" })).toBe(false)
    expect(await client.admin.install()).toMatchObject({ from: 0 })
  })

  test("in a transaction that rolls back has not happened", async () => {
    const client = at("spared")
    await client.admin.install()
    await client.admin.createQueue("q")
    const dropped = await inTransaction(pool, (tx) => client.admin.uninstall({ confirm: "spared", tx }), {
      end: "rollback",
    })
    expect(dropped).toBe(true)
    expect(await client.admin.getQueue("q")).toMatchObject({ name: "q" })
  })
})
