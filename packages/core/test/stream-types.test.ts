import { InvalidOptionError, type StandardSchema, WrongKindError } from "@sluice/core"
import { expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { client } from "./helpers/refused.ts"

const schema: StandardSchema = { "~standard": { version: 1, vendor: "none", validate: (value) => ({ value }) } }
const stream = (types: unknown): unknown => client.stream("s", types as never)

test.each([
  ["a schema itself", schema, "types", "pass { events: "],
  ["schemas without their name", { "order.paid": schema }, "types", "pass { events: "],
  ["one schema for all events", { events: schema }, "events", "must be an object with a schema for each type of event"],
  ["a type without a schema", { events: { "order.paid": {} } }, "events.order.paid", "must be a Standard Schema"],
  ["an option that there is not", { schemas: {} }, "types.schemas", "there are events"],
])("a stream refuses %s before any SQL", async (_, types, field, reason) => {
  const error = await errorOf<InvalidOptionError>(() => stream(types))
  expect(error).toBeInstanceOf(InvalidOptionError)
  expect(error.field).toBe(field)
  expect(error.message).toContain(reason)
})

test("a name of another kind is named in words", () => {
  expect(new WrongKindError("jobs", "stream", "work").message).toBe('"jobs" is a queue, not a stream.')
})
