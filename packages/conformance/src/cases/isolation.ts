import type { DriverUnderTest, Capability, Isolation } from "../harness.ts"
import { equal, equalRows, rejectsWith } from "../assert.ts"
import type { ConformanceCase } from "../case.ts"
import { countRows } from "./count-rows.ts"

type Open = <T>(work: (tx: unknown) => Promise<T>) => Promise<T>

/** A level is asked for when the user's library begins, or by the first statement of a transaction. */
const ways: readonly {
  label: string
  needs: readonly Capability[]
  open: (harness: DriverUnderTest, level: Isolation) => Open
}[] = [
  {
    label: "begun by the user's library",
    needs: ["begin"],
    open: (harness, level) => (work) => harness.begin!(level, work),
  },
  {
    label: "set by the first statement",
    needs: [],
    open:
      ({ driver }, level) =>
      (work) =>
        driver.transaction(async (tx) => {
          await driver.within(tx).query(`set transaction isolation level ${level}`)
          return work(tx)
        }),
  },
]

const strictLevels: readonly Isolation[] = ["repeatable read", "serializable"]

const eachStrictTransaction = strictLevels.flatMap((level) => ways.map((way) => ({ ...way, level })))

export const isolationCases: readonly ConformanceCase[] = [
  ...eachStrictTransaction.map<ConformanceCase>(({ label, needs, open, level }) => ({
    name: `${level}, ${label}: joined, and gone afterwards`,
    rule: "isolation",
    needs,
    async run({ harness, driver, table }) {
      const t = await table("id int4")
      const show = "select current_setting('transaction_isolation')::text as level"
      await open(
        harness,
        level,
      )(async (tx) => {
        equalRows(await driver.within(tx).query(show), [{ level }], "the level inside")
        await driver.within(tx).query(`insert into ${t} values (1)`)
        equal(await countRows(driver.within(tx), t), 1, "own writes")
      })
      equal(await countRows(driver, t), 1, "rows after the commit")
      const usual = "select current_setting('default_transaction_isolation')::text as level"
      equalRows(await driver.query(show), await driver.query(usual), "the level of the next statement")
    },
  })),
  ...eachStrictTransaction.map<ConformanceCase>(({ label, needs, open, level }) => ({
    name: `${level}, ${label}: sees one snapshot throughout`,
    rule: "isolation",
    needs: [...needs, "concurrent"],
    async run({ harness, driver, table, connect }) {
      const t = await table("id int4")
      const other = await connect()
      await open(
        harness,
        level,
      )(async (tx) => {
        equal(await countRows(driver.within(tx), t), 0, "rows at first")
        await other.driver.query(`insert into ${t} values (1)`)
        equal(await countRows(driver.within(tx), t), 0, "rows after another committed one")
      })
      equal(await countRows(driver, t), 1, "rows afterwards")
    },
  })),
  ...eachStrictTransaction.map<ConformanceCase>(({ label, needs, open, level }) => ({
    name: `${level}, ${label}: a conflict rejects with 40001`,
    rule: "isolation",
    needs: [...needs, "concurrent"],
    async run({ harness, driver, table, connect }) {
      const t = await table("id int4, n int4")
      await driver.query(`insert into ${t} values (1, 0)`)
      const other = await connect()
      const conflicting = open(
        harness,
        level,
      )(async (tx) => {
        await countRows(driver.within(tx), t)
        await other.driver.query(`update ${t} set n = 1`)
        await driver.within(tx).query(`update ${t} set n = 2`)
      })
      await rejectsWith(conflicting, "40001", "an update of a row that changed since the snapshot")
      equalRows(await driver.query(`select n from ${t}`), [{ n: 1 }], "what is stored")
    },
  })),
  ...ways.map<ConformanceCase>(({ label, needs, open }) => ({
    name: `serializable, ${label}: write skew rejects, at the latest at COMMIT`,
    rule: "isolation",
    needs: [...needs, "concurrent"],
    async run({ harness, driver, table, connect }) {
      const t = await table("id int4 primary key, n int4")
      await driver.query(`insert into ${t} values (1, 0), (2, 0)`)
      const other = await connect()
      const addTo = (id: number) => `update ${t} set n = (select sum(n)::int4 + 1 from ${t}) where id = ${id}`
      const skewed = open(
        harness,
        "serializable",
      )(async (tx) => {
        await driver.within(tx).query(`select sum(n)::int4 as n from ${t}`)
        await open(other, "serializable")((inner) => other.driver.within(inner).query(addTo(2)))
        await driver.within(tx).query(addTo(1))
      })
      await rejectsWith(skewed, "40001", "the second of two transactions that each read what the other wrote")
    },
  })),
  {
    name: "transaction() has the level that the server gives by default",
    rule: "isolation",
    async run({ driver }) {
      const setting = (name: string): string => `current_setting('${name}')::text`
      const [own, usual] = [setting("transaction_isolation"), setting("default_transaction_isolation")]
      const text = `select ${own} as own, ${usual} as usual`
      const rows = await driver.transaction((tx) => driver.within(tx).query<{ own: string; usual: string }>(text))
      equal(rows[0]?.own, rows[0]?.usual, "the level of transaction()")
    },
  },
]
