import { createClient, InvalidOptionError, SluiceError } from "@sluice/core"
import { expect } from "vitest"
import { errorOf } from "./error-of.ts"
import { noSqlDriver } from "./no-sql-driver.ts"

type Untyped = Record<string, (...args: unknown[]) => Promise<unknown>>

export const { driver, calls } = noSqlDriver()
export const client: ReturnType<typeof createClient<{ tx: true }>> = createClient(driver)
// As JavaScript sees them: without the types that refuse most of what is wrong already.
export const queue = client.queue("q") as unknown as Untyped
export const admin = client.admin as unknown as Untyped & Record<"queues" | "messages" | "archive", Untyped>
export const schedules = client.schedules as unknown as Untyped
export const message = { id: "1", lease: "1" }

/** A call is refused with an error that names the field, and no SQL has run. */
export async function expectOption(call: () => unknown, field: string): Promise<void> {
  calls.splice(0)
  const error = await errorOf<InvalidOptionError>(call)
  expect(error, error.stack).toBeInstanceOf(InvalidOptionError)
  expect(error).toBeInstanceOf(SluiceError)
  expect(error).toMatchObject({ name: "InvalidOptionError", code: "invalid_option", field })
  expect(error.message).toContain(field)
  expect(calls).toEqual([])
}
