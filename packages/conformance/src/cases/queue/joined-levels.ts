import { sqlState } from "@sluice/core"
import { equal, rejects } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import type { Isolation } from "../../harness.ts"
import { ids, mustRead, openElsewhere, openQueue } from "./open-queue.ts"

type Step = (tx: unknown) => Promise<unknown>

function strictCases(level: Isolation): readonly ConformanceCase[] {
  const begin = (context: CaseContext, work: Step): Promise<unknown> => context.harness.begin!(level, work)
  return [
    {
      name: `${level}: send, settle and metrics work, and commit`,
      rule: "isolation",
      needs: ["begin"],
      async run(context) {
        const { client, queue, name } = await openQueue(context)
        await queue.sendBatch([1, 2, 3, 4, 5, 6].map((payload) => ({ payload })))
        const [a, b, c, d, e, f] = (await queue.readBatch({ limit: 6, lease: "1h" })) as never[]
        await begin(context, async (tx) => {
          await queue.send("one", { tx })
          await queue.sendBatch([{ payload: "two" }, { payload: "three" }], { tx })
          await queue.delete(a!, { tx })
          await queue.archive(b!, { tx })
          await queue.release(c!, { tx })
          await queue.retry(d!, { delay: "1h", tx })
          await queue.setVt(e!, "2h", { tx })
          await queue.extend(f!, "1h", { tx })
          equal((await queue.metrics({ tx })).length, 7, "length, seen from inside")
          await client.admin.createQueue(`${name}.b`, { tx })
        })
        const { length, visible, inFlight, delayed } = await queue.metrics()
        equal([length, visible, inFlight, delayed], [7, 4, 2, 1], "length, visible, in flight, delayed")
      },
    },
    {
      name: `${level}: a rollback undoes sends and settles`,
      rule: "isolation",
      needs: ["begin"],
      async run(context) {
        const { queue } = await openQueue(context)
        await queue.send("x")
        const held = await mustRead(queue)
        await rejects(begin(context, async (tx) => {
          await queue.send("y", { tx })
          await queue.archive(held, { tx })
          throw new Error("roll back")
        }), "the transaction")
        await queue.delete(held)
        equal((await queue.metrics()).length, 0, "messages left")
      },
    },
    {
      name: `${level}: of two settles of one message at once the second is a 40001 of the library's own`,
      rule: "isolation",
      needs: ["begin", "concurrent"],
      async run(context) {
        const { queue, name } = await openQueue(context)
        const elsewhere = await openElsewhere(context, name)
        await queue.send("x")
        const held = await mustRead(queue)
        const error = await rejects(begin(context, async (tx) => {
          await queue.metrics({ tx }) // takes the snapshot
          await elsewhere.extend(held, "1h")
          await queue.delete(held, { tx })
        }), "the second settle")
        equal(sqlState(error), "40001", `SQLSTATE of ${String(error)}`)
        equal((error as { code?: unknown }).code === "stale_lease", false, "it is the caller's to retry, not a stale lease")
        await begin(context, (tx) => queue.delete(held, { tx }))
        equal((await queue.metrics()).length, 0, "settled by the retry")
      },
    },
    {
      name: `${level}: a batch of settles beside one of others does not conflict`,
      rule: "isolation",
      needs: ["begin", "concurrent"],
      async run(context) {
        const { queue, name } = await openQueue(context)
        const elsewhere = await openElsewhere(context, name)
        await queue.sendBatch([1, 2, 3, 4].map((payload) => ({ payload })))
        const held = await queue.readBatch({ limit: 4 })
        await begin(context, async (tx) => {
          equal((await queue.deleteBatch(held.slice(0, 2), { tx })).settled, ids(held.slice(0, 2)), "inside")
          equal((await elsewhere.deleteBatch(held.slice(2))).settled, ids(held.slice(2)), "elsewhere meanwhile")
        })
        equal((await queue.metrics()).length, 0, "messages left")
      },
    },
  ]
}

/** Joined to REPEATABLE READ and SERIALIZABLE; what is refused there is among the core errors. */
export const joinedLevelCases: readonly ConformanceCase[] = [...strictCases("repeatable read"), ...strictCases("serializable")]
