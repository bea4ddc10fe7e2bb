import type { Driver } from "@sluice/core"
import { equal, equalRows, fail, ok, rejects } from "../assert.ts"
import type { CaseContext, ConformanceCase } from "../case.ts"
import type { Capability } from "../harness.ts"
import { countRows, positionOf } from "./count-rows.ts"

type Opener = <T>(context: CaseContext, work: (tx: unknown) => Promise<T>) => Promise<T>

/** A transaction may come from the driver or straight from the user's library: within() must join either. */
const openers: readonly (readonly [string, readonly Capability[], Opener])[] = [
  ["the driver's own transaction", [], ({ driver }, work) => driver.transaction(work)],
  ["a transaction of the user's library", ["begin"], ({ harness }, work) => harness.begin!("read committed", work)],
]

function inEach(
  name: string,
  run: (context: CaseContext, open: <T>(work: (tx: unknown) => Promise<T>) => Promise<T>) => Promise<void>,
  needs: readonly Capability[] = [],
): ConformanceCase[] {
  return openers.map(([label, more, opener]) => ({
    name: `within ${label}: ${name}`,
    rule: "within",
    needs: [...needs, ...more],
    run: (context) => run(context, (work) => opener(context, work)),
  }))
}

function refusesTx(driver: Driver, tx: unknown): void {
  try {
    driver.within(tx)
  } catch (error) {
    return ok(error instanceof Error, "within() must throw an Error")
  }
  fail(`within(${String(tx)}) must throw at once`)
}

/** within(): joins, and does nothing else. */
export const withinCases: readonly ConformanceCase[] = [
  ...inEach("every statement runs in that one transaction", async ({ driver, unique }, open) => {
    await open(async (tx) => {
      const joined = driver.within(tx)
      const first = await positionOf(joined)
      await joined.query("select 1", [], { name: unique("named") })
      equal(await positionOf(joined), first, "server process and transaction id of a later statement")
      equal(await positionOf(driver.within(tx)), first, "server process and transaction id through another within(tx)")
    })
  }),
  ...inEach("what the caller rolls back leaves nothing", async ({ driver, table }, open) => {
    const t = await table("id int4")
    const rolledBack = open(async (tx) => {
      await driver.within(tx).query(`insert into ${t} values (1)`)
      await driver.within(tx).query(`insert into ${t} values ($1::int4) returning id`, [2])
      throw new Error("rolled back")
    })
    await rejects(rolledBack, "the transaction")
    equal(await countRows(driver, t), 0, "rows that a joined transaction left after its rollback")
  }),
  ...inEach(
    "the caller alone commits",
    async ({ driver, table, connect }, open) => {
      const t = await table("id int4")
      const other = await connect()
      await open(async (tx) => {
        await driver.within(tx).query(`insert into ${t} values (1)`)
        equal(await countRows(other.driver, t), 0, "rows seen by others before the caller commits")
      })
      equal(await countRows(other.driver, t), 1, "rows seen by others after the caller committed")
    },
    ["concurrent"],
  ),
  ...inEach("opens no savepoint of its own", async ({ driver, table }, open) => {
    const t = await table("id int4")
    await open(async (tx) => {
      const { xid } = await positionOf(driver.within(tx))
      const text = `insert into ${t} values (1) returning xmin::text as writer, (${xid} % 4294967296)::text as own`
      const [row] = await driver.within(tx).query<{ writer: string; own: string }>(text)
      equal(row?.writer, row?.own, "the id under which a row is written: another one is a subtransaction's")
    })
  }),
  ...inEach("a failed statement does not end it", async ({ driver }, open) => {
    const failing = open(async (tx) => {
      await rejects(driver.within(tx).query("select 1 / 0"), "a division by zero")
      const error = await rejects(
        driver.within(tx).query("select 1"),
        "within() must not have rolled back for the caller",
      )
      throw error
    })
    await rejects(failing, "the transaction")
  }),
  {
    name: "statements issued together in one transaction all run in it",
    rule: "within",
    async run({ driver, table }) {
      const t = await table("id int4")
      await driver.transaction(async (tx) => {
        const ids = [1, 2, 3, 4, 5]
        await Promise.all(ids.map((id) => driver.within(tx).query(`insert into ${t} values ($1::int4)`, [id])))
        equal(await countRows(driver.within(tx), t), 5, "rows seen inside")
      })
      equal(await countRows(driver, t), 5, "rows after the commit")
    },
  },
  {
    name: "within(undefined) throws",
    rule: "no-lost-tx",
    async run({ driver }) {
      refusesTx(driver, undefined)
      refusesTx(driver, null)
      equalRows(await driver.query("select 1::int4 as one"), [{ one: 1 }], "afterwards")
    },
  },
]
