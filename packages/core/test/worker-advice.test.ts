import type { InvalidOptionError } from "@sluice/core"
import { expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { client, expectOption } from "./helpers/refused.ts"

const handler = client.queue("q").handler(() => {})

test.each(["transactional", "timeout", "backoff", "lease", "onError", "batch", "size"])("an option of a handler that is given to its worker: %s", async (key) => {
  const call = (): unknown => client.worker([handler], { [key]: true } as never)
  await expectOption(call, `options.${key}`)
  const error = await errorOf<InvalidOptionError>(call)
  expect(error.message).toContain(`is an option of a handler: queue.${key === "size" ? "batchHandler" : "handler"}(fn, { ${key}: … })`)
})

test("a listener for an event that there is not", async () => {
  const worker = client.worker([handler])
  const call = (): unknown => worker.on("failed" as never, () => {})
  await expectOption(call, "event")
  expect((await errorOf<InvalidOptionError>(call)).message).toContain(`must be one of "start", "done", "retry"`)
})
