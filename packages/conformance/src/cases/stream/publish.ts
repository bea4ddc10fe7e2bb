import type { StandardSchema } from "@sluice/core"
import { equal, ok } from "../../assert.ts"
import type { ConformanceCase } from "../../case.ts"
import { schema } from "../../open-place.ts"
import { refuses } from "../queue/open-queue.ts"
import { dataOf, mustNext, numberedEvents, openStream, take } from "./open-stream.ts"

interface Input { readonly order: number; readonly at: string }
interface Output { readonly order: number; readonly at: Date }

/** A Standard Schema by hand: its input is not its output. */
const paid: StandardSchema<Input, Output> = {
  "~standard": {
    version: 1,
    vendor: "by hand",
    validate: (value: unknown) => {
      const { order, at: time } = (value ?? {}) as Partial<Input>
      return typeof order === "number" ? { value: { order, at: new Date(time ?? "") } } : { issues: [{ message: "must be a number", path: ["order"] }] }
    },
  },
}

const at = "2024-05-06T07:08:09.000Z"

/** What is said of an event is what its readers get. */
export const publishCases: readonly ConformanceCase[] = [
  {
    name: "publish returns the id; readers get type, data, key, headers, extras and when it was published",
    rule: "core",
    async run(context) {
      const { stream, reader, name } = await openStream(context)
      const id = await stream.publish("order.paid", { order: 7 }, { key: "7", headers: { trace: "ü" }, extra: ["a", null, "", "d"] })
      const [event, ...more] = await (await mustNext(reader)).list()
      const { publishedAt, idempotencyKey, ...rest } = event!
      equal(rest, { id, stream: name, type: "order.paid", data: { order: 7 }, key: "7", headers: { trace: "ü" }, extra: ["a", null, "", "d"], attempt: 1 }, "the event")
      equal(more, [], "other events")
      ok(publishedAt instanceof Date && Math.abs(publishedAt.getTime() - Date.now()) < 60_000, `publishedAt: received ${String(publishedAt)}`)
      ok(idempotencyKey.includes(id), `idempotencyKey: received ${idempotencyKey}`)
    },
  },
  {
    name: "what is not said of an event is null or empty; an empty key is a key",
    rule: "core",
    async run(context) {
      const { stream, reader } = await openStream(context)
      await stream.publish("a", null)
      await stream.publish("b", 0, { key: "" })
      const events = await (await mustNext(reader)).list()
      equal(events.map(({ data, key, headers, extra }) => [data, key, headers, extra]), [null, ""].map((key, n) => [n === 0 ? null : 0, key, {}, [null, null, null, null]]), "data, key, headers and extras")
    },
  },
  {
    name: "publishBatch returns its ids in order, which is the order of its events; of nothing it is nothing",
    rule: "core",
    async run(context) {
      const { stream, reader } = await openStream(context)
      const ids = await stream.publishBatch(numberedEvents(120))
      equal(await stream.publishBatch([]), [], "ids of an empty batch")
      const events = await (await mustNext(reader)).list()
      equal(events.map(({ id }) => id), ids, "ids, as published and as read")
      equal(dataOf(events), Array.from({ length: 120 }, (_, n) => n), "data, in order")
      equal(new Set(ids).size, 120, "different ids")
    },
  },
  {
    name: "types: the schema's input is stored, its output is read, and what it refuses is not published",
    rule: "core",
    async run(context) {
      const { client, name, reader } = await openStream(context)
      const typed = client.stream(name, { events: { "order.paid": paid } })
      await typed.publish("order.paid", { order: 1, at })
      await refuses(typed.publish("order.paid", { order: "x" } as never), "payload_invalid", { path: "data.order" }, "publish")
      await refuses(typed.publishBatch([{ type: "order.paid", data: { order: 2, at } }, { type: "order.paid", data: {} as Input }]), "payload_invalid", { index: 1 }, "publishBatch")
      await refuses(typed.publish("order.lost" as never, 1 as never), "invalid_option", {}, "a type that is not named")
      const [event] = (await (await typed.subscription("s").nextBatch())?.list()) ?? []
      equal([event!.type, event!.data], ["order.paid", { order: 1, at: new Date(at) }], "read with the schema")
      equal(await take(reader), [{ order: 1, at }], "all that was stored")
    },
  },
  {
    name: "types: stored data that the schema refuses is told, not thrown",
    rule: "core",
    async run(context) {
      const { client, stream, name } = await openStream(context)
      await stream.publish("order.paid", { order: "seven" })
      const typed = client.stream(name, { events: { "order.paid": paid } })
      const [event] = (await (await typed.subscription("s").nextBatch())?.list()) ?? []
      equal([event!.data, event!.invalid?.map(({ message }) => message)], [{ order: "seven" }, ["must be a number"]], "data and issues")
    },
  },
  {
    name: "insert_event publishes from SQL, in the transaction of its caller",
    rule: "core",
    async run(context) {
      const { reader, name } = await openStream(context)
      const text = `select ${schema}.insert_event($1::text, 'sql', $2::text::jsonb, extra1 => 'x', key => 'k')::text as id`
      const [row] = await context.exec<{ id: string }>(text, [name, `{"n":1}`])
      const [event] = await (await mustNext(reader)).list()
      equal([event!.id, event!.type, event!.data, event!.key, event!.extra[0]], [row!.id, "sql", { n: 1 }, "k", "x"], "the event")
    },
  },
  {
    name: "a stream has its own events alone",
    rule: "core",
    async run(context) {
      const [one, other] = [await openStream(context), await openStream(context)]
      await context.driver.transaction(async (tx) => {
        await one.stream.publish("a", "one", { tx })
        await other.stream.publish("a", "other", { tx })
      })
      equal([await take(one.reader), await take(other.reader)], [["one"], ["other"]], "data")
    },
  },
]
