import type { Client, Queue } from "@sluice/core"
import { eventually } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import { openClient, openQueue } from "../queue/open-queue.ts"
import { openWorker } from "./open-worker.ts"

/** Sends one message, so that a worker which waits hears of it. */
type Wake = (queue: Queue, client: Client, context: CaseContext) => Promise<unknown>

const wakes: { readonly [name: string]: Wake } = {
  "a send": (queue) => queue.send("x"),
  "a transaction of the client": (queue, client) => client.transaction((tx) => queue.send("x", { tx })),
  "wake, after a transaction of the user's own": async (queue, client, { driver }) => {
    await driver.transaction((tx) => queue.send("x", { tx }))
    await client.wake(queue.name)
  },
}

/** Looks after which the next one is more than a second away: each pause is twice the one before, and the first is 5 ms. */
const LOOKS = 9

/** Each wake has a queue of its own, so that all of them wait at the same time. */
async function wakesUp(context: CaseContext, client: Client, sender: Client, which: readonly Wake[]): Promise<void> {
  const names: string[] = []
  for (const _ of which) names.push((await openQueue(context)).name)
  const { worker, told } = openWorker(context, client, names.map((name) => client.queue(name).handler(() => undefined)), { pollInterval: "1h" })
  await worker.start()
  const looks = (name: string): number => told("idle").filter(({ queue }) => queue === name).length
  await eventually(() => names.every((name) => looks(name) >= LOOKS), true, "looks at empty queues")
  await Promise.all(which.map((wake, i) => wake(sender.queue(names[i]!), sender, context)))
  await eventually(() => told("done").length, which.length, "handled before it would have looked by itself", 1_000)
}

/** How a worker hears of messages. */
export const wakeCases: readonly ConformanceCase[] = [
  {
    name: `a worker that waits is woken within its process by: ${Object.keys(wakes).join("; ")}`,
    rule: "core",
    async run(context) {
      const client = await openClient(context, { listen: false, notify: false })
      await wakesUp(context, client, client, Object.values(wakes))
    },
  },
  {
    name: "a worker that waits is woken by a send of another client, by LISTEN",
    rule: "core",
    needs: ["listen"],
    async run(context) {
      const sender = await openClient(context, { listen: false }, (await context.connect()).driver)
      await wakesUp(context, await openClient(context), sender, [wakes["a send"]!])
    },
  },
  {
    name: "without any wake it polls",
    rule: "core",
    async run(context) {
      const { queue, name } = await openQueue(context)
      const client = await openClient(context, { listen: false })
      const { worker, tells } = openWorker(context, client, [client.queue(name).handler(() => undefined)])
      await worker.start()
      await tells("idle", 2)
      await context.driver.transaction((tx) => queue.send("x", { tx }))
      await tells("done")
    },
  },
]
