import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { createDatabase, startEmbedded } from "@sluice/testkit"
import { afterAll, describe, expect, test } from "vitest"
import { startChild } from "./helpers/child.ts"
import { openPool } from "./helpers/harness.ts"
import { forwardOnce } from "./helpers/mortal-forward.ts"
import { until } from "./helpers/until.ts"

// What is committed asynchronously is lost in a crash of these, unless something else took it along to the disk.
const settings = { wal_writer_delay: "10s", wal_writer_flush_after: "1GB", autovacuum: "off" }
const [first, second] = await Promise.all([startEmbedded({ fsync: true, settings }), startEmbedded({ fsync: true, settings })])

async function open(url: string) {
  const pool = openPool(url)
  const client = createClient(pgDriver(pool), { listen: false, notify: false })
  await client.admin.install()
  return { url, pool, client }
}
const source = await open(first.url)
const elsewhere = await open(second.url)
const beside = await open((await createDatabase(first.url, "beside")).url)
afterAll(async () => {
  await Promise.all([source, elsewhere, beside].map(({ pool }) => pool.end()))
  await Promise.all([first.stop(), second.stop()])
})

type Kind = "stream" | "queue"
const all = Array.from({ length: 30 }, (_, n) => n)
let made = 0

/** 30 events, three batches, and a place for their copies. */
async function setUp(kind: Kind, there = elsewhere) {
  const [stream, target] = [`orders.${++made}`, `copies.${made}`]
  await source.client.admin.createStream(stream)
  await source.client.admin.createSubscription(stream, "copy")
  await source.client.admin.createSubscription(stream, "other")
  await source.client.stream(stream).publishBatch(all.map((n) => ({ type: "made", data: { n } })))
  if (kind === "queue") await there.client.admin.createQueue(target)
  else {
    await there.client.admin.createStream(target)
    await there.client.admin.createSubscription(target, "all")
  }
  const route = { from: source.url, to: there.url, stream, kind, target }

  /** The process is gone as far as the servers can see: its connections end, and no statement follows. True where it came so far. */
  function die(step: string, nth: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const end = (sever: () => void): Promise<void> => {
        sever()
        resolve(true)
        return new Promise(() => {})
      }
      forwardOnce(route, step, nth, end).then(() => resolve(false), reject)
    })
  }
  const child = async (step: string, nth: number): Promise<boolean> => (await startChild("forward-child.ts", route.from, route.to, stream, kind, target, step, String(nth)).ended) === null
  const isDone = async (): Promise<boolean> => {
    const info = await source.client.admin.getSubscriptionInfo(stream, "copy")
    return info.pendingEvents === 0 && info.batches.length === 0 && info.retries === 0
  }
  return {
    stream,
    attempt: die,
    /** Before the lease of the last one is over, one finds nothing to copy, and ends. */
    killed: (step: string, nth: number) => until(() => die(step, nth), `one is killed at ${step}`),
    killedChild: (step: string, nth: number) => until(() => child(step, nth), `a process is killed at ${step}`),
    finishUp: () => until(async () => !(await die("", 1)) && (await isDone()), "all is copied"),
    copies: async (): Promise<number[]> => {
      if (kind === "queue") return (await there.client.queue<{ data: { n: number } }>(target).readBatch({ limit: 1000 })).map(({ payload }) => payload.data.n)
      const batch = await there.client.stream(target).subscription("all").nextBatch()
      return (await batch!.list()).map(({ data }) => (data as { n: number }).n)
    },
  }
}

const stepsInto = (kind: Kind): string[] => ["next_batch", "forward_source", "forward", kind === "stream" ? "publish" : "send_batch", "commit", "finish_batch"]
const everyStep = (["stream", "queue"] as const).flatMap((kind) => stepsInto(kind).map((step) => [kind, step] as const))

describe("a forwarder that is killed copies each event once, in order", () => {
  test.each(everyStep)("into a %s, after %s", async (kind, step) => {
    const { killed, finishUp, copies } = await setUp(kind)
    for (const nth of step === "finish_batch" ? [1, 1] : [1, 1, 2]) await killed(step, nth)
    await finishUp()
    expect(await copies()).toEqual(all)
  }, 60_000)

  test("as a process, by SIGKILL", async () => {
    const { killedChild, finishUp, copies } = await setUp("stream")
    for (const step of ["publish", "commit", "finish_batch"]) await killedChild(step, 1)
    await finishUp()
    expect(await copies()).toEqual(all)
  }, 60_000)

  test("seven times between the copy and its end: events are not set apart, which would copy them twice", async () => {
    const { killed, finishUp, copies } = await setUp("stream")
    for (let n = 0; n < 7; n++) await killed("commit", 1)
    await finishUp()
    expect(await copies()).toEqual(all)
  }, 60_000)

  test("from database to database of one cluster", async () => {
    const { killed, finishUp, copies } = await setUp("stream", beside)
    for (const step of ["publish", "commit"]) await killed(step, 1)
    await finishUp()
    expect(await copies()).toEqual(all)
  }, 60_000)

  test("while five others are at it", async () => {
    const { attempt, finishUp, copies } = await setUp("stream")
    await Promise.all([attempt("commit", 1), attempt("publish", 1), attempt("finish_batch", 2), finishUp(), finishUp(), finishUp()])
    await finishUp()
    expect(await copies()).toEqual(all)
  }, 60_000)
})

test.each([["source", "commit"], ["source", "finish_batch"], ["source", "publish"], ["target", "commit"], ["target", "finish_batch"], ["target", "publish"]])("a crash of the server of the %s after %s loses and doubles nothing", async (side, step) => {
  const { stream, killed, finishUp, copies } = await setUp("stream")
  for (const nth of [1, 2]) {
    await killed(step, nth)
    const server = side === "source" ? first : second
    await server.stopImmediate()
    await server.restart()
    // So that what was opened before the crash cannot come again by chance.
    await source.client.stream(stream).publish("made", { n: 29 + nth })
  }
  await finishUp()
  expect(await copies()).toEqual([...all, 30, 31])
}, 60_000)
