import { equal, ok, rejects, rejectsWith } from "../assert.ts"
import type { CaseContext, ConformanceCase } from "../case.ts"
import type { Capability } from "../harness.ts"

type Savepoint = <T>(tx: unknown, work: (tx: unknown) => Promise<T>) => Promise<T>

/** What core does where the driver has no savepoint(). */
function byHand({ driver, unique }: CaseContext): Savepoint {
  return async (tx, work) => {
    const [joined, name] = [driver.within(tx), unique("savepoint")]
    await joined.query(`savepoint ${name}`)
    try {
      const result = await work(tx)
      await joined.query(`release savepoint ${name}`)
      return result
    } catch (error) {
      await joined.query(`rollback to savepoint ${name}`)
      throw error
    }
  }
}

const ways: readonly (readonly [string, Capability, (context: CaseContext) => Savepoint])[] = [
  [
    "savepoint()",
    "savepoint",
    ({ driver }) =>
      (tx, work) =>
        driver.savepoint!(tx, work),
  ],
  ["SAVEPOINT by hand", "manualSavepoint", byHand],
]

interface Scene {
  readonly context: CaseContext
  readonly savepoint: Savepoint
  insert(tx: unknown, id: number): Promise<unknown>
  /** What is stored. */
  ids(): Promise<number[]>
}

function eachWay(name: string, run: (scene: Scene) => Promise<void>): ConformanceCase[] {
  return ways.map(([label, need, make]) => ({
    name: `${label}: ${name}`,
    rule: "savepoint",
    needs: [need],
    async run(context) {
      const t = await context.table("id int4 primary key")
      await run({
        context,
        savepoint: make(context),
        insert: (tx, id) => context.driver.within(tx).query(`insert into ${t} values ($1::int4)`, [id]),
        ids: async () => (await context.exec<{ id: number }>(`select id from ${t} order by id`)).map((row) => row.id),
      })
    },
  }))
}

export const savepointCases: readonly ConformanceCase[] = [
  ...eachWay("resolves with the value of work and keeps what it wrote", async (scene) => {
    const { context, savepoint, insert, ids } = scene
    const value = await context.driver.transaction(async (tx) => {
      await insert(tx, 1)
      return savepoint(tx, async (inner) => {
        await insert(inner, 2)
        return "inner"
      })
    })
    equal(value, "inner", "the value of work")
    equal(await ids(), [1, 2], "what is stored")
  }),
  ...eachWay("an inner rollback keeps the outer work", async ({ context, savepoint, insert, ids }) => {
    const error = new Error("of the caller")
    await context.driver.transaction(async (tx) => {
      await insert(tx, 1)
      const received = await rejects(
        savepoint(tx, async (inner) => {
          await insert(inner, 2)
          throw error
        }),
        "the savepoint",
      )
      ok(received === error, "a savepoint must reject with the error that its work threw, itself")
      await insert(tx, 3)
    })
    equal(await ids(), [1, 3], "what is stored")
  }),
  ...eachWay("a failed statement inside leaves the transaction usable", async ({ context, savepoint, insert, ids }) => {
    await context.driver.transaction(async (tx) => {
      await insert(tx, 1)
      await rejectsWith(
        savepoint(tx, (inner) => insert(inner, 1)),
        "23505",
        "a duplicate in a savepoint",
      )
      await insert(tx, 2)
    })
    equal(await ids(), [1, 2], "what is stored")
  }),
  ...eachWay("rejects when work swallowed an error", async ({ context, savepoint, insert, ids }) => {
    await context.driver.transaction(async (tx) => {
      const swallowing = savepoint(tx, async (inner) => {
        await insert(inner, 1)
        await insert(inner, 1).catch(() => undefined)
      })
      await rejects(swallowing, "a savepoint whose work swallowed an error")
      await insert(tx, 2)
    })
    equal(await ids(), [2], "what is stored")
  }),
  ...eachWay("two levels", async ({ context, savepoint, insert, ids }) => {
    await context.driver.transaction(async (tx) => {
      await savepoint(tx, async (outer) => {
        await insert(outer, 1)
        await rejects(
          savepoint(outer, async (inner) => {
            await insert(inner, 2)
            throw new Error("rolled back")
          }),
          "the inner savepoint",
        )
        await insert(outer, 3)
      })
    })
    equal(await ids(), [1, 3], "what is stored")
  }),
  ...eachWay("goes with the transaction when that rolls back", async ({ context, savepoint, insert, ids }) => {
    const rolledBack = context.driver.transaction(async (tx) => {
      await savepoint(tx, (inner) => insert(inner, 1))
      throw new Error("rolled back")
    })
    await rejects(rolledBack, "the transaction")
    equal(await ids(), [], "what is stored")
  }),
]
