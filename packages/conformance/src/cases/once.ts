import { type Client, sqlState } from "@sluice/core"
import { equal, equalRows, rejects } from "../assert.ts"
import type { CaseContext, ConformanceCase } from "../case.ts"
import type { Isolation } from "../harness.ts"
import { openClient } from "./queue/open-queue.ts"

interface Setting {
  readonly client: Client
  readonly key: string
  /** Inserts a row by the transaction that it gets, and returns what the caller should find again. */
  effect(tx: unknown): Promise<{ n: number }>
  effects(): Promise<number>
}

async function setUp(context: CaseContext): Promise<Setting> {
  const table = await context.table("n int4")
  return {
    client: await openClient(context),
    key: context.unique("key"),
    effect: async (tx) => {
      await context.driver.within(tx).query(`insert into ${table} values (1)`)
      return { n: 1 }
    },
    effects: async () => (await context.exec(`select n from ${table}`)).length,
  }
}

class RollBack extends Error {}

function strictCase(level: Isolation): ConformanceCase {
  return {
    name: `${level}: once works, and a key that was taken after the snapshot is a 40001 of the library's own`,
    rule: "isolation",
    needs: ["begin", "concurrent"],
    async run(context) {
      const { client, key, effect, effects } = await setUp(context)
      const begin = <T>(work: (tx: unknown) => Promise<T>): Promise<T> => context.harness.begin!(level, work)
      equal(await begin((tx) => client.once(tx, key, effect)), { ran: true, value: { n: 1 } }, "the first")
      equal(await begin((tx) => client.once(tx, key, effect)), { ran: false, value: { n: 1 } }, "the second")
      const { driver } = await context.connect()
      const elsewhere = await openClient(context, {}, driver)
      const error = await rejects(begin(async (tx) => {
        await context.driver.within(tx).query("select 1 as one") // takes the snapshot
        await driver.transaction((other) => elsewhere.once(other, `${key}.b`, () => null))
        await client.once(tx, `${key}.b`, effect)
      }), "a key taken meanwhile")
      equal(sqlState(error), "40001", `SQLSTATE of ${String(error)}`)
      equal(await effects(), 1, "effects")
    },
  }
}

/** Effects that happen once for a key, in the caller's transaction. */
export const onceCases: readonly ConformanceCase[] = [
  {
    name: "once does its work in the caller's transaction, and later callers get what it returned",
    rule: "within",
    async run(context) {
      const { client, key, effect, effects } = await setUp(context)
      for (const ran of [true, false, false]) {
        equal(await context.driver.transaction((tx) => client.once(tx, key, effect)), { ran, value: { n: 1 } }, "once()")
      }
      equal(await effects(), 1, "effects")
    },
  },
  {
    name: "once in a transaction that rolls back never was",
    rule: "within",
    async run(context) {
      const { client, key, effect, effects } = await setUp(context)
      await rejects(context.driver.transaction(async (tx) => {
        equal((await client.once(tx, key, effect)).ran, true, "ran")
        equal((await client.once(tx, key, effect)).ran, false, "ran again, inside")
        throw new RollBack()
      }), "the transaction")
      equal(await effects(), 0, "effects")
      equal((await context.driver.transaction((tx) => client.once(tx, key, effect))).ran, true, "ran afterwards")
    },
  },
  {
    name: "work of once that fails, in the server too, takes its key and effects with it; the transaction goes on",
    rule: "savepoint",
    async run(context) {
      const { client, key, effect, effects } = await setUp(context)
      const table = await context.table("n int4")
      await context.driver.transaction(async (tx) => {
        const failed = await rejects(client.once(tx, key, async (inner) => {
          await effect(inner)
          await context.driver.within(inner).query("select 1 / 0 as n")
        }), "a failed statement")
        equal(sqlState(failed), "22012", `SQLSTATE of ${String(failed)}`)
        const thrown = new RollBack()
        equal(await rejects(client.once(tx, key, async (inner) => {
          await effect(inner)
          throw thrown
        }), "work that throws"), thrown, "what it threw")
        await context.driver.within(tx).query(`insert into ${table} values (1)`)
      })
      equal(await effects(), 0, "effects of what failed")
      equalRows(await context.exec(`select n from ${table}`), [{ n: 1 }], "the caller's row")
      equal((await context.driver.transaction((tx) => client.once(tx, key, effect))).ran, true, "ran afterwards")
    },
  },
  {
    name: "of two transactions at once that have one key, one does the work, and the other waits for it",
    rule: "core",
    needs: ["concurrent"],
    async run(context) {
      const { client, key, effect, effects } = await setUp(context)
      const { driver } = await context.connect()
      const elsewhere = await openClient(context, {}, driver)
      let second: Promise<{ ran: boolean }> | undefined
      await context.driver.transaction(async (tx) => {
        equal((await client.once(tx, key, effect)).ran, true, "the first ran")
        second = driver.transaction((other) => elsewhere.once(other, key, () => ({ n: 2 })))
        await context.driver.within(tx).query("select 1 as one")
      })
      equal(await second, { ran: false, value: { n: 1 } }, "the second")
      equal(await effects(), 1, "effects")
    },
  },
  strictCase("repeatable read"),
  strictCase("serializable"),
  {
    name: "a message has one idempotency key, however often and through whatever connection it is read",
    rule: "core",
    async run(context) {
      const client = await openClient(context)
      const { name } = await client.admin.createQueue(context.unique("queue"))
      const queue = client.queue(name)
      await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
      const first = await queue.readBatch({ limit: 2 })
      equal(new Set(first.map(({ idempotencyKey }) => idempotencyKey)).size, 2, "keys of two messages")
      for (const message of first) await queue.release(message)
      const again = await context.driver.transaction((tx) => queue.readBatch({ limit: 2, tx }))
      const other = (await openClient(context)).queue(name)
      for (const message of again) await queue.release(message)
      const keys = (messages: typeof first): string[] => messages.map(({ idempotencyKey }) => idempotencyKey)
      equal(keys(again), keys(first), "in a transaction")
      equal(keys(await other.readBatch({ limit: 2 })), keys(first), "of another client")
    },
  },
]
