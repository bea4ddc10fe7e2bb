import { equal, ok, rejects } from "../assert.ts"
import type { ConformanceCase } from "../case.ts"
import type { WireCost } from "../wire-tap.ts"

const control = /^\s*(begin|start|commit|rollback|savepoint|release|set|end|abort)\b/i

/** A text that can be found again among what was sent. */
const marked = (name: string): string => `select $1::int4 as n /* ${name} */`

/** A library may add a comment to the text, and nothing else. */
function onlyThat({ statements, completed }: WireCost, text: string, what: string): void {
  const same = statements.length === 1 && statements[0]!.includes(text)
  if (!same) equal(statements, [text], `what ${what} sent`)
  equal(completed, 1, `statements that the server answered to ${what}`)
}

/** What operations cost on the wire, counted by the proxy. */
export const budgetCases: readonly ConformanceCase[] = [
  {
    name: "a warm query is one statement",
    rule: "budget",
    needs: ["tap"],
    async run({ driver, record, tap, unique }) {
      const [text, name] = [marked(unique("warm")), unique("warm")]
      for (const options of [undefined, { name }]) {
        for (let i = 0; i < 3; i++) await driver.query(text, [i], options)
        const cost = await tap.measure(() => driver.query(text, [9], options))
        record(options ? "query, named, warm" : "query, warm", cost)
        onlyThat(cost, text, `query() ${options ? "with" : "without"} a name`)
      }
    },
  },
  {
    name: "a warm query with a name is one round trip",
    rule: "budget",
    needs: ["tap", "prepare"],
    async run({ driver, tap, unique }) {
      const [text, name] = [marked(unique("warm")), unique("warm")]
      for (let i = 0; i < 3; i++) await driver.query(text, [i], { name })
      const cost = await tap.measure(() => driver.query(text, [9], { name }))
      equal(cost.roundTrips, 1, "round trips of a warm query() with a name")
    },
  },
  {
    name: "a failing statement is sent once",
    rule: "budget",
    needs: ["tap"],
    async run({ driver, record, tap }) {
      const text = "select 1 / $1::int4 as value /* failing */"
      await driver.query(text, [1])
      const cost = await tap.measure(() => rejects(driver.query(text, [0]), "a division by zero"))
      record("query that fails", cost)
      ok(
        cost.statements.length <= 1 && cost.completed <= 1,
        `sent instead of one statement: ${cost.statements.join("; ")}`,
      )
    },
  },
  {
    name: "a transaction is begin, its statements, commit",
    rule: "budget",
    needs: ["tap"],
    async run({ driver, record, tap, unique }) {
      const [text, name] = [marked(unique("joined")), unique("joined")]
      const work = (): Promise<unknown> => driver.transaction((tx) => driver.within(tx).query(text, [1], { name }))
      for (let i = 0; i < 3; i++) await work()
      const cost = await tap.measure(work)
      record("transaction of one statement", cost)
      const sent = `sent: ${cost.statements.join("; ")}`
      ok(/^\s*(begin|start transaction)\b/i.test(cost.statements[0] ?? ""), `the first statement must begin; ${sent}`)
      ok(/^\s*(commit|end)\b/i.test(cost.statements.at(-1) ?? ""), `the last statement must commit; ${sent}`)
      equal(cost.statements.filter((one) => one.includes(text)).length, 1, `how often the statement was sent; ${sent}`)
      ok(cost.statements.length <= 4, `at most one statement more, to see whether the commit will commit; ${sent}`)
    },
  },
  {
    name: "a rolled-back transaction is begin, its statements, rollback",
    rule: "budget",
    needs: ["tap"],
    async run({ driver, record, tap, unique }) {
      const text = marked(unique("joined"))
      const work = (): Promise<unknown> =>
        rejects(
          driver.transaction(async (tx) => {
            await driver.within(tx).query(text, [1])
            throw new Error("rolled back")
          }),
          "the transaction",
        )
      for (let i = 0; i < 2; i++) await work()
      const cost = await tap.measure(work)
      record("transaction that rolls back", cost)
      const sent = `sent: ${cost.statements.join("; ")}`
      ok(/^\s*(rollback|abort)\b/i.test(cost.statements.at(-1) ?? ""), `the last statement must roll back; ${sent}`)
      equal(cost.statements.filter((one) => one.includes(text)).length, 1, `how often the statement was sent; ${sent}`)
    },
  },
  {
    name: "within() sends nothing by itself, and one statement for a query",
    rule: "within",
    needs: ["tap"],
    async run({ driver, record, tap, unique }) {
      const [text, name] = [marked(unique("joined")), unique("joined")]
      await driver.transaction(async (tx) => {
        const joining = await tap.measure(async () => void driver.within(tx))
        equal(joining.statements, [], "what within(tx) sent without a query")
        for (let i = 0; i < 3; i++) await driver.within(tx).query(text, [i], { name })
        const cost = await tap.measure(() => driver.within(tx).query(text, [9], { name }))
        record("query inside a transaction, named, warm", cost)
        const controls = cost.statements.filter((one) => control.test(one))
        equal(controls, [], "control statements that within(tx).query() sent")
        onlyThat(cost, text, "within(tx).query()")
      })
    },
  },
  {
    name: "a savepoint sends nothing but savepoint and release",
    rule: "savepoint",
    needs: ["tap", "savepoint"],
    async run({ driver, record, tap, unique }) {
      const text = marked(unique("inner"))
      await driver.transaction(async (tx) => {
        const cost = await tap.measure(() => driver.savepoint!(tx, (inner) => driver.within(inner).query(text, [1])))
        record("savepoint of one statement", cost)
        const others = cost.statements.filter((one) => !one.includes(text) && !/^\s*(savepoint|release)\b/i.test(one))
        ok(others.length <= 1, `a savepoint sent ${cost.statements.join("; ")}`)
      })
    },
  },
]
