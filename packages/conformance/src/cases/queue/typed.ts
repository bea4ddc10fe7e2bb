import type { StandardSchema } from "@sluice/core"
import { equal, ok } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { mustRead, openQueue, payloads, refuses } from "./open-queue.ts"

interface Input { readonly id: number; readonly at: string }
interface Output { readonly id: number; readonly at: Date }

/** A Standard Schema by hand: its input is not its output. */
function schema(options: { readonly async?: boolean } = {}): StandardSchema<Input, Output> {
  const check = (value: unknown): { value: Output } | { issues: { message: string; path?: PropertyKey[] }[] } => {
    const { id, at } = (value ?? {}) as Partial<Input>
    if (typeof id !== "number") return { issues: [{ message: "must be a number", path: ["id"] }, { message: "a second issue" }] }
    if (id === 13) throw new Error("thirteen")
    return { value: { id, at: new Date(at ?? "") } }
  }
  const validate = options.async ? async (value: unknown) => check(value) : check
  return { "~standard": { version: 1, vendor: "by hand", validate } }
}

const at = "2024-05-06T07:08:09.000Z"

/** A queue's schema, at send and at read. */
export const typedCases: readonly ConformanceCase[] = [
  {
    name: "the schema's input is stored, its output is read",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const typed = client.queue(name, { payload: schema() })
      const id = await typed.send({ id: 1, at })
      await typed.sendBatch([{ payload: { id: 2, at } }])
      equal((await client.admin.messages.get(id))?.payload, { id: 1, at }, "stored")
      equal((await mustRead(typed as typeof queue)).payload, { id: 1, at: new Date(at) }, "read")
      equal((await typed.pop())?.payload, { id: 2, at: new Date(at) }, "popped")
    },
  },
  {
    name: "input that the schema refuses is not sent: path, issues and, in a batch, the index",
    rule: "core",
    async run(context) {
      const { client, name } = await openQueue(context)
      const typed = client.queue(name, { payload: schema() })
      const bad = { id: "1", at } as never
      const issues = [{ message: "must be a number", path: ["id"] }, { message: "a second issue" }]
      await refuses(typed.send(bad), "payload_invalid", { path: "payload.id", index: undefined, issues }, "send")
      const batch = typed.sendBatch([{ payload: { id: 1, at } }, { payload: bad }])
      await refuses(batch, "payload_invalid", { path: "payload.id", index: 1, issues }, "sendBatch")
      equal((await typed.metrics()).total, 0, "ever sent")
    },
  },
  {
    name: "a stored payload that the schema refuses arrives with its issues, leased like the others",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const typed = client.queue(name, { payload: schema() })
      await queue.sendBatch([{ payload: { id: 1, at } }, { payload: "what is this" }, { payload: { id: 3, at } }])
      const [good, bad, last] = await typed.readBatch({ limit: 3 })
      equal([good?.payload, last?.payload], [{ id: 1, at: new Date(at) }, { id: 3, at: new Date(at) }], "the others")
      equal([bad?.payload as unknown, bad?.invalid?.[0]?.message], ["what is this", "must be a number"], "the bad one")
      ok(good !== undefined && !("invalid" in good), "a good one has no `invalid`")
      await typed.archive(bad!)
      equal((await typed.metrics()).inFlight, 2, "the bad one could be settled")
    },
  },
  {
    name: "pop of a payload that the schema refuses gives it with its issues: it is gone from the queue",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      await queue.send({ wrong: true })
      const popped = await client.queue(name, { payload: schema() }).pop()
      equal([popped?.payload as unknown, popped?.invalid?.length], [{ wrong: true }, 2], "payload and issues")
    },
  },
  {
    name: "an asynchronous schema is awaited at send and at read",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const typed = client.queue(name, { payload: schema({ async: true }) })
      await refuses(typed.send({} as never), "payload_invalid", { path: "payload.id" }, "bad input")
      await typed.send({ id: 1, at })
      await queue.send("bad")
      const [good, bad] = await typed.readBatch({ limit: 2 })
      equal([good?.payload, bad?.invalid?.length], [{ id: 1, at: new Date(at) }, 2], "good and bad")
    },
  },
  {
    name: "a schema that throws at read does not lose the batch; the message says so",
    rule: "core",
    async run(context) {
      for (const async of [false, true]) {
        const { client, queue, name } = await openQueue(context)
        await queue.sendBatch([{ payload: { id: 13, at } }, { payload: { id: 1, at } }])
        const [thirteen, one] = await client.queue(name, { payload: schema({ async }) }).readBatch({ limit: 2 })
        ok(thirteen?.invalid?.[0]?.message.includes("thirteen") ?? false, `the reason, async: ${async}`)
        equal(one?.payload.id, 1, "the other one")
        equal((await queue.metrics()).inFlight, 2, "both are leased")
      }
    },
  },
  {
    name: "a schema that throws at send sends nothing",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const typed = client.queue(name, { payload: schema() })
      const outcome = await typed.send({ id: 13, at }).then(() => "sent", (error: unknown) => String(error))
      ok(outcome.includes("thirteen"), `must reject with the schema's own reason, received ${outcome}`)
      equal((await queue.metrics()).total, 0, "ever sent")
    },
  },
  {
    name: "another client without a schema reads what was stored",
    rule: "core",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      await client.queue(name, { payload: schema() }).send({ id: 1, at })
      equal(payloads(await queue.readBatch({ limit: 9 })), [{ id: 1, at }], "as it was sent")
    },
  },
  {
    name: "what is no Standard Schema is refused at once",
    rule: "core",
    async run(context) {
      const { client, name } = await openQueue(context)
      for (const payload of [null, {}, () => true, { "~standard": {} }] as never[]) {
        await refuses((async () => client.queue(name, { payload }))(), "invalid_option", { field: "payload" }, "payload")
      }
    },
  },
]
