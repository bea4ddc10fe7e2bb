import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { stripVTControlCharacters } from "node:util"
import { createDatabase } from "@sluice/testkit"
import pg from "pg"
import { describe, expect, inject, test } from "vitest"

interface DemoRun {
  readonly code: number | null
  readonly output: string
  /** The summary: one record for each row of the table, by the words of its head. */
  readonly rows: readonly Record<string, string>[]
  /** What the subscribers made of the events, likewise. */
  readonly streams: readonly Record<string, string>[]
  /** The audit log of the first order. */
  readonly log: readonly Record<string, string>[]
  /** The errors of the payment that died. */
  readonly deadLetter: readonly Record<string, string>[]
}

interface DemoOptions {
  readonly names?: readonly string[]
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly onOutput?: (output: string, kill: (signal: NodeJS.Signals) => void) => void
}

async function runDemo({ names = [], env = {}, onOutput }: DemoOptions): Promise<DemoRun> {
  const main = join(import.meta.dirname, "../src/main.ts")
  const child = spawn(process.execPath, [main, ...names], { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] })
  let output = ""
  const onText = (text: string): void => {
    output += text
    onOutput?.(output, (signal) => child.kill(signal))
  }
  child.stdout.setEncoding("utf8").on("data", onText)
  child.stderr.setEncoding("utf8").on("data", onText)
  const [code] = (await once(child, "close")) as [number | null]
  output = stripVTControlCharacters(output)
  const [rows = [], streams = [], deadLetter = [], log = []] = output.split("┌").slice(1).map(readTable)
  return { code, output, rows, streams, deadLetter, log }
}

function readTable(text: string): Record<string, string>[] {
  const lines = text.split("\n").filter((line) => line.startsWith("│"))
  const [head = [], ...body] = lines.map((line) => line.split("│").slice(1, -1).map((cell) => cell.trim()))
  return body.map((cells) => Object.fromEntries(head.map((title, i) => [title, cells[i] ?? ""])))
}

const onTestServer = { DATABASE_URL: inject("serverUrl"), SLUICE_TEST_DATABASE: "url" }

async function query<Row extends object>(url: string, ...statements: string[]): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    let rows: Row[] = []
    for (const statement of statements) rows = (await client.query<Row>(statement)).rows
    return rows
  } finally {
    await client.end()
  }
}

describe("pnpm demo", () => {
  test("runs over every adapter and across them, and loses and repeats nothing", { timeout: 180_000 }, async () => {
    const { code, output, rows, streams, deadLetter, log } = await runDemo({})
    expect({ code, output }).toMatchObject({ code: 0 })
    expect(rows.map((row) => row.adapter)).toEqual([
      "pg",
      "postgres.js",
      "drizzle on pg",
      "drizzle on postgres.js",
      "drizzle on postgres.js → pg",
      "postgres.js → drizzle on pg",
      "pg → postgres.js",
    ])
    for (const row of rows) {
      const expected = { "orders": "20", "sold out": "4", "cancelled": "2", "retried": "3", "redriven": "1", "lost": "0", "duplicates": "0" }
      expect(row).toMatchObject(expected)
      expect(Number(row.redelivered)).toBeGreaterThanOrEqual(5) // a machine that stands still for a lease has more
    }
    expect(streams).toHaveLength(7)
    for (const row of streams) {
      // 20 orders are placed and their reservations made, 18 of them paid and shipped.
      const expected = { published: "56", captured: "56", "book lost": "0", "book twice": "0", "audit lost": "0", "audit twice": "0" }
      expect(row).toMatchObject(expected)
      expect(Number(row.redelivered)).toBeGreaterThanOrEqual(3)
    }
    expect(log.map(({ type }) => type)).toEqual(["reservations.insert", "order.placed", "reservations.update", "order.paid", "reservations.delete", "order.shipped"])
    expect(log[2]).toMatchObject({ data: '{"order_id":"pg-01","quantity":1,"paid":true}' })
    expect(deadLetter).toHaveLength(4)
    expect(deadLetter[3]).toMatchObject({ attempt: "4", error: "The provider answered 500: no such currency.", worker: "pg.cashier" })
  })

  test.for(["ignore-lease", "settle-anything"])("fails when the fence is broken: %s", { timeout: 60_000 }, async (name) => {
    const hook = join(import.meta.dirname, `sabotage/${name}.ts`)
    const env = { ...onTestServer, SLUICE_DEMO_AFTER_INSTALL: hook }
    const { code, output, rows } = await runDemo({ names: ["pg → postgres.js"], env })
    expect({ code, output }).toMatchObject({ code: 1 })
    expect(rows[0]).toMatchObject({ lost: "0", duplicates: "1" })
  })

  test("fails when a worker settles outside the transaction of its effect", { timeout: 60_000 }, async () => {
    const env = { ...onTestServer, SLUICE_DEMO_CHANGE_SHOP: join(import.meta.dirname, "sabotage/settle-apart.ts") }
    const { code, output, rows } = await runDemo({ names: ["pg → postgres.js"], env })
    expect({ code, output }).toMatchObject({ code: 1 })
    expect(rows[0]).toMatchObject({ lost: "0", duplicates: "1" })
  })

  test("fails when a subscriber finishes outside the transaction of its effects", { timeout: 60_000 }, async () => {
    const env = { ...onTestServer, SLUICE_DEMO_CHANGE_SHOP: join(import.meta.dirname, "sabotage/finish-apart.ts") }
    const { code, output, rows, streams } = await runDemo({ names: ["pg → postgres.js"], env })
    expect({ code, output }).toMatchObject({ code: 1 })
    expect(rows[0]).toMatchObject({ lost: "0", duplicates: "0" })
    expect(streams[0]).toMatchObject({ "book lost": "0", "audit lost": "0" })
    // What each of the two killed readers had done is done again.
    expect(Number(streams[0]!["book twice"])).toBeGreaterThanOrEqual(3)
    expect(Number(streams[0]!["audit twice"])).toBeGreaterThanOrEqual(3)
  })

  test("fails when a batch is finished that nobody has read", { timeout: 60_000 }, async () => {
    const env = { ...onTestServer, SLUICE_DEMO_AFTER_INSTALL: join(import.meta.dirname, "sabotage/finish-unread.ts") }
    const { code, output, rows, streams } = await runDemo({ names: ["pg → postgres.js"], env })
    expect({ code, output }).toMatchObject({ code: 1 })
    expect(rows[0]).toMatchObject({ lost: "0", duplicates: "0" })
    expect(streams[0]).toMatchObject({ "book twice": "0", "audit twice": "0" })
    for (const lost of ["book lost", "audit lost"]) expect(Number(streams[0]![lost])).toBeGreaterThanOrEqual(3)
  })

  test("takes schemas where it may not create a database, and leaves nothing behind", { timeout: 60_000 }, async () => {
    const database = await createDatabase(inject("serverUrl"), "demo without createdb")
    const role = database.name
    try {
      await query(database.url, `create role ${role} login password 'secret'`, `grant create on database ${database.name} to ${role}`)
      const url = Object.assign(new URL(database.url), { username: role, password: "secret" }).href
      const { code, output } = await runDemo({ names: ["pg"], env: { ...onTestServer, DATABASE_URL: url } })
      expect({ code, output }).toMatchObject({ code: 0 })
      expect(output).toContain("May not create a database here")
      const left = await query(database.url, "select nspname from pg_namespace where nspname like 'sluice%'")
      expect(left).toEqual([])
    } finally {
      await database.drop()
      await query(inject("serverUrl"), `drop role if exists ${role}`)
    }
  })

  test("stops when it is told to, and drops its database", { timeout: 60_000 }, async () => {
    const databases = "select datname from pg_database where datname like 'sluice_demo\\_________'"
    const before = await query(inject("serverUrl"), databases)
    let told = false
    const { code, output } = await runDemo({
      env: onTestServer,
      onOutput: (text, kill) => {
        if (told || !text.includes("✓")) return
        told = true
        kill("SIGINT")
      },
    })
    expect(code, output).toBe(130)
    expect(output).toContain("Stopped.")
    expect(await query(inject("serverUrl"), databases)).toEqual(before)
  })

  test("says what to do about a server that does not answer", async () => {
    const env = { ...onTestServer, DATABASE_URL: "postgres://nobody@127.0.0.1:1/nowhere" }
    const { code, output } = await runDemo({ names: ["pg"], env })
    expect(code).toBe(1)
    expect(output).toContain("The server given by DATABASE_URL does not answer.")
    expect(output).toContain("Without it, the demo starts a Postgres of its own.")
  })

  test("names what there is when asked for an adapter that there is not", async () => {
    const { code, output } = await runDemo({ names: ["mysql"] })
    expect(code).toBe(1)
    expect(output).toContain("There is no mysql. There are: pg, postgres.js, ")
  })
})
