import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { databasePerFile } from "@sluice/testkit/vitest"
import { expect, test } from "vitest"
import { openPool } from "./helpers/harness.ts"

const { url } = await databasePerFile()
const client = createClient(pgDriver(openPool(url, 1)))
await client.admin.install()

test("the error of an attempt is kept with its causes, and one that is its own cause ends", async () => {
  await client.admin.createQueue("causes")
  const queue = client.queue("causes")
  const id = await queue.send(1)
  const error: Error = new Error("Failed query: commit", { cause: new RangeError("duplicate key", { cause: "no error" }) })
  await queue.retry((await queue.read())!, { error, delay: 0 })
  error.cause = error
  await queue.retry((await queue.read())!, { error })
  const [first, second] = (await client.admin.messages.get(id))!.errors
  expect(first).toMatchObject({ name: "Error", message: "Failed query: commit" })
  expect(first?.stack).toMatch(/^Error: Failed query: commit\n[^]*\nCaused by: RangeError: duplicate key\n(?!.*Caused by)/)
  expect(second?.stack?.match(/Caused by/g)).toHaveLength(5)
})
