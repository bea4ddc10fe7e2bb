import { equal, equalRows, inTime, ok, rejects, rejectsWith } from "../assert.ts"
import type { ConformanceCase } from "../case.ts"
import { countRows, positionOf } from "./count-rows.ts"

/** transaction(): when it commits, when it rolls back, and what it rejects with. */
export const commitCases: readonly ConformanceCase[] = [
  {
    name: "commits and resolves with the value of work",
    rule: "transaction",
    async run({ driver, table }) {
      const t = await table("id int4")
      const value = { any: "object" }
      const result = await driver.transaction(async (tx) => {
        await driver.within(tx).query(`insert into ${t} values (1)`)
        return value
      })
      ok(result === value, "transaction() must resolve with the very value of work")
      equal(await countRows(driver, t), 1, "rows after the commit")
      equal(await driver.transaction(async () => undefined), undefined, "an empty transaction")
    },
  },
  {
    name: "rolls back when work throws, and rejects with that very error",
    rule: "transaction",
    async run({ driver, table }) {
      const t = await table("id int4")
      const error = new Error("of the caller")
      const received = await rejects(
        driver.transaction(async (tx) => {
          await driver.within(tx).query(`insert into ${t} values (1)`)
          throw error
        }),
        "transaction() whose work throws",
      )
      equal(await countRows(driver, t), 0, "rows after the rollback")
      ok(received === error, `transaction() must reject with the error that work threw, itself; received ${String(received)}`)
    },
  },
  {
    name: "rejects with the very error of the failed statement",
    rule: "transaction",
    async run({ driver }) {
      let failure: unknown
      const received = await rejects(
        driver.transaction(async (tx) => {
          failure = await rejects(driver.within(tx).query("select 1 / 0"), "a division by zero")
          throw failure
        }),
        "transaction() whose statement fails",
      )
      ok(received === failure, `transaction() must reject with the error that the statement rejected with`)
    },
  },
  {
    name: "reads its own writes",
    rule: "within",
    async run({ driver, table }) {
      const t = await table("id int4")
      await driver.transaction(async (tx) => {
        await driver.within(tx).query(`insert into ${t} values (1)`)
        equal(await countRows(driver.within(tx), t), 1, "rows seen inside the transaction")
      })
    },
  },
  {
    name: "is invisible to others before the commit and visible after it",
    rule: "transaction",
    needs: ["concurrent"],
    async run({ driver, table, connect }) {
      const t = await table("id int4")
      const other = await connect()
      await driver.transaction(async (tx) => {
        await driver.within(tx).query(`insert into ${t} values (1)`)
        equal(await countRows(other.driver, t), 0, "rows seen by another connection before the commit")
      })
      equal(await countRows(other.driver, t), 1, "rows seen by another connection after the commit")
    },
  },
  {
    name: "a failed statement poisons the transaction, and nothing of it stays",
    rule: "transaction",
    async run({ driver, table }) {
      const t = await table("id int4 primary key")
      const poisoned = driver.transaction(async (tx) => {
        const joined = driver.within(tx)
        await joined.query(`insert into ${t} values (1)`)
        await rejectsWith(joined.query(`insert into ${t} values (1)`), "23505", "a duplicate")
        await rejectsWith(joined.query("select 1"), "25P02", "a statement after the failed one")
        await joined.query("select 2")
      })
      await rejects(poisoned, "the poisoned transaction") // with the first error or the last: libraries differ
      equal(await countRows(driver, t), 0, "rows after the rollback")
    },
  },
  {
    name: "rejects when work swallowed the error of a failed statement",
    rule: "commit-or-reject",
    async run({ driver, table }) {
      const t = await table("id int4")
      const swallowing = driver.transaction(async (tx) => {
        await driver.within(tx).query(`insert into ${t} values (1)`)
        await driver
          .within(tx)
          .query("select 1 / 0")
          .catch(() => undefined)
        return "done"
      })
      await rejects(swallowing, "the server answers COMMIT with ROLLBACK here: transaction() must notice")
      equal(await countRows(driver, t), 0, "rows after the rollback")
      equalRows(await driver.query("select 1::int4 as one"), [{ one: 1 }], "afterwards")
    },
  },
  {
    name: "rejects when the commit itself fails",
    rule: "commit-or-reject",
    async run({ driver, table }) {
      const t = await table("id int4, unique (id) deferrable initially deferred")
      const failing = driver.transaction(async (tx) => {
        await driver.within(tx).query(`insert into ${t} values (1), (1)`)
      })
      await rejectsWith(failing, "23505", "a deferred unique constraint that fails at COMMIT")
      equal(await countRows(driver, t), 0, "rows after the failed commit")
    },
  },
  {
    name: "the next transaction after a rollback is a new one",
    rule: "transaction",
    async run({ driver }) {
      const seen = new Set<string>()
      for (let i = 0; i < 6; i++) {
        const work = driver.transaction(async (tx) => {
          seen.add((await positionOf(driver.within(tx))).xid)
          if (i % 2 === 0) throw new Error("rolled back")
        })
        await work.catch(() => undefined)
      }
      equal(seen.size, 6, "different transactions among 6")
    },
  },
  {
    name: "a statement beside an open transaction is no part of it",
    rule: "transaction",
    needs: ["concurrent", "parallel"],
    async run({ driver, table }) {
      const t = await table("id int4")
      const rolledBack = driver.transaction(async () => {
        await inTime(driver.query(`insert into ${t} values (1)`), "query() beside an open transaction")
        throw new Error("rolled back")
      })
      await rejects(rolledBack, "the transaction")
      equal(await countRows(driver, t), 1, "rows after the rollback: the statement had a transaction of its own")
    },
  },
  {
    name: "two transactions at once stay apart",
    rule: "transaction",
    needs: ["concurrent", "parallel"],
    async run({ driver, table }) {
      const t = await table("id int4")
      const positions = await driver.transaction((first) =>
        inTime(
          driver.transaction(async (second) => {
            await driver.within(first).query(`insert into ${t} values (1)`)
            equal(await countRows(driver.within(second), t), 0, "rows of the first, seen by the second")
            return [await positionOf(driver.within(first)), await positionOf(driver.within(second))]
          }),
          "a transaction beside another",
        ),
      )
      ok(positions[0]?.xid !== positions[1]?.xid, "two transactions must not share a transaction id")
      ok(positions[0]?.pid !== positions[1]?.pid, "two open transactions must not share a connection")
    },
  },
]
