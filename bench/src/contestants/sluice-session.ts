import { createClient, type Driver, type Message } from "@sluice/core"
import type { Payload, Session } from "../contestant.ts"

/** What all contestants of ours share. `end` closes what the driver was given. */
export function sluiceSession<Tx>(driver: Driver<Tx>, end: () => Promise<unknown>): Session<Message<Payload>> {
  const client = createClient(driver)
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
