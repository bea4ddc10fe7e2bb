import { PGlite } from "@electric-sql/pglite"
import { afterAll, describe, expect, test } from "vitest"
import { pgliteDriver } from "../src/index.ts"
import { describeContract } from "../../pg/test/shared/contract.ts"

const plain = await PGlite.create()
const hostile = await PGlite.create({
  parsers: { 23: () => "mine", 16: () => "mine", 25: () => "mine", 701: () => "mine" },
  serializers: { 25: () => "mine" },
})
afterAll(() => Promise.all([plain.close(), hostile.close()]))

describe("plain", () => describeContract(() => pgliteDriver(plain), "in process"))
describe("own parsers and serializers", () => describeContract(() => pgliteDriver(hostile), "in process"))

test("hears what is notified, until it is told to stop", async () => {
  const driver = pgliteDriver(plain)
  const channel = "Sluice ü $1"
  const heard: string[] = []
  let ready = 0
  const listen = () =>
    driver.listen!(
      channel,
      (payload) => heard.push(payload),
      () => ready++,
    )
  const notify = (payload: string) => driver.query("select pg_notify($1::text, $2::text)", [channel, payload])
  const stops = [await listen(), await listen()]
  expect(ready).toBe(2)
  await notify("both")
  await stops[0]!()
  await notify("one")
  await stops[1]!()
  await notify("none")
  expect(heard).toEqual(["both", "both", "one"])
  expect(await driver.query("select * from pg_listening_channels()")).toEqual([])
})

test("hears a channel with a double quote", async () => {
  const heard: string[] = []
  const stop = await pgliteDriver(plain).listen!(
    'a"b',
    (payload) => heard.push(payload),
    () => {},
  )
  await plain.query(`select pg_notify('a"b', 'quoted')`)
  await stop()
  expect(heard).toEqual(["quoted"])
})

test("refuses what is no instance, and an instance as transaction", () => {
  for (const source of [undefined, null, "memory://", {}]) expect(() => pgliteDriver(source as never)).toThrow(/PGlite/)
  expect(() => pgliteDriver(plain).within(plain as never)).toThrow(TypeError)
})

test("leaves the instance open", async () => {
  await pgliteDriver(plain).close?.()
  expect((await plain.query("select 1 as a")).rows).toEqual([{ a: 1 }])
})
