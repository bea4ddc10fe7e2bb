import { beforeEach, describe, expect, test } from "vitest"
import { harness, inTransaction } from "./helpers/harness.ts"
import { moveClock } from "./helpers/move-clock.ts"

const { client, pool, freshQueue } = await harness()

const step = async (on: Pick<typeof pool, "query">, what: string, parent: string, n: number): Promise<{ did: string }> =>
  (await on.query("select sluice.partition_step($1, $2, $3) as step", [what, parent, n])).rows[0].step
const waiting = async (): Promise<number> =>
  (await pool.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")).rowCount!

describe("a partition that is made while a row for it is on its way to the default one", () => {
  const today = Math.floor(Date.now() / 86_400_000)
  beforeEach(async () => {
    await moveClock(pool, "0")
    await pool.query(`drop table if exists sluice.archive_p${today}`)
  })

  /** `work` waits for the default partition, where it was sent; meanwhile a step of maintenance makes the one it belongs to. */
  async function meanwhile(parent: string, n: number, work: () => Promise<unknown>, what = "make"): Promise<string> {
    let done: Promise<unknown> | undefined
    const did = await inTransaction(pool, async (tx) => {
      await tx.query(`lock table only sluice.${parent}_default in access exclusive mode`)
      done = work()
      done.catch(() => {}) // awaited below
      await expect.poll(waiting).toBe(1)
      if (what === "move") await moveClock(pool, "1 day")
      return (await step(tx, what, parent, n)).did
    })
    await done
    return did
  }

  test("leaves an archiving settle alone, and is made when its day is over", async () => {
    const queue = client.queue(await freshQueue())
    const id = await queue.send("x")
    const message = (await queue.read())!
    expect(await meanwhile("archive", today, () => queue.archive(message))).toBe("refused")
    expect(await client.admin.archive.get(id)).toMatchObject({ outcome: "done" })
    await moveClock(pool, "1 day")
    expect(await step(pool, "move", "archive", today)).toMatchObject({ did: "move", count: 1 })
    expect(await client.admin.archive.get(id)).toMatchObject({ outcome: "done" })
  })

  test("leaves a settle alone that began the day before", async () => {
    const queue = client.queue(await freshQueue())
    await queue.sendBatch([{ payload: 1 }, { payload: 2 }])
    await queue.archive((await queue.read())!) // what is moved
    const message = (await queue.read())!
    expect(await meanwhile("archive", today, () => queue.archive(message), "move")).toBe("refused")
    expect(await client.admin.archive.get(message.id)).toMatchObject({ outcome: "done" })
    expect(await step(pool, "move", "archive", today)).toMatchObject({ did: "move" })
  })

  test("leaves a send alone", async () => {
    const name = await freshQueue({ partition: { by: "id", interval: 10, retention: 0 } })
    const table = (await pool.query("select sluice.message_table(storage) as name from sluice.queue where name = $1", [name])).rows[0].name
    await pool.query(`drop table sluice.${table}_0_p0`)
    expect(await meanwhile(`${table}_0`, 0, () => client.queue(name).send("x"))).toBe("refused")
    expect(await client.queue(name).read()).toMatchObject({ payload: "x" })
  })
})
