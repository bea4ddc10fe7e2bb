import { createClient, type Driver, type Message } from "@sluice/core"
import type { OpenOptions, Payload, Session } from "../contestant.ts"

/** What all contestants of ours share. `end` closes what the driver was given. */
export function sluiceSession<Tx>(driver: Driver<Tx>, { listen }: OpenOptions, end: () => Promise<unknown>): Session<Message<Payload>> {
  const client = createClient(driver, { listen })
  const queue = client.queue<Payload>("bench")
  return {
    setup: async () => {
      await client.admin.install()
      await client.admin.createQueue("bench")
    },
    send: (payload) => queue.send(payload),
    sendBatch: (payloads) => queue.sendBatch(payloads.map((payload) => ({ payload }))),
    readBatch: (limit) => queue.readBatch({ limit }),
    receive: () => queue.readWithPoll({ wait: "1s" }),
    deleteBatch: async (messages) => {
      const { refused } = await queue.deleteBatch(messages)
      if (refused.length > 0) throw new Error(`${refused.length} of ${messages.length} deletes were refused.`)
    },
    workOff: async ({ concurrency, transactional }) => {
      let count = 0
      const handler = transactional ? queue.handler(() => undefined, { transactional }) : queue.handler(() => undefined)
      const worker = client.worker([handler], { concurrency, maintenance: false })
      worker.on("done", () => void count++)
      await worker.drain()
      return count
    },
    work: async (handle) => {
      const worker = await queue.work(({ payload }) => handle(payload), { maintenance: false })
      return () => worker.stop()
    },
    maintain: () => {
      const maintenance = client.maintenance()
      maintenance.start()
      return () => maintenance.stop()
    },
    close: async () => {
      await client.close()
      await end()
    },
  }
}
