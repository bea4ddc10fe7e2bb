import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import pg from "pg"
import { expect, inject, test } from "vitest"
import { contestants } from "../src/contestants.ts"
import { runBench } from "../src/run-bench.ts"
import type { Sizes } from "../src/sizes.ts"
import { workloads } from "../src/workloads.ts"

/** Everything runs, and nothing is measured: no test says how fast anything is. */
const tinySizes: Sizes = {
  turnSeconds: 5,
  sendOneByOne: 3,
  sendAtOnce: 40,
  sendBatches: 1,
  drain: { 1: 2, 10: 20 },
  worker: { 1: 2, 10: 20 },
  workerInTransactions: { 2: 4 },
  latency: 2,
  backlogs: [100, 300],
  backlogReads: 2,
  streamBatches: 1,
  streamLatency: 1,
  streamSilence: [20, 20],
}

const names = contestants.map(({ name }) => name)
const positive = expect.toSatisfy((value: number) => value > 0)

const ofStreams = workloads.filter(({ name }) => name.startsWith("stream"))

test("every workload of queues runs over every contestant and gives complete results", { timeout: 90_000 }, async () => {
  const lines: string[] = []
  const printed: string[] = []
  const result = await runBench(
    { workloads: workloads.filter((one) => !ofStreams.includes(one)), contestants, rounds: 1, sizes: tinySizes, pinnedSeconds: 0.5 },
    { serverUrl: inject("serverUrl"), stop: new AbortController().signal, log: (line) => lines.push(line), print: (text) => printed.push(text) },
  )
  const rows = result.workloads as Record<string, Record<string, unknown>[]>
  expect(Object.keys(rows)).toEqual(["send", "drain", "worker", "latency", "pinned", "backlog"])
  for (const [workload, cases] of [["send", ["one by one", "32 at once", "by 1000"]], ["drain", ["by 1", "by 10"]], ["worker", ["1 at once", "10 at once", "2 at once, in transactions"]]] as const) {
    const all = cases.flatMap((one) => names.map((contestant) => ({ case: one, contestant })))
    expect(rows[workload]).toMatchObject(all.map((row) => ({ ...row, median: positive, min: positive, max: positive, ratio: positive, rounds: [positive] })))
  }
  const each = (row: object): object[] => names.map((contestant) => ({ contestant, ...row }))
  expect(rows.worker!.every(({ roundTrips }) => (roundTrips as number) > 0)).toBe(true)
  const latencies = ["to a reader that waits", "to a worker's handler", "to a worker's handler, without LISTEN"]
  expect(rows.latency).toMatchObject(latencies.flatMap((name) => each({ case: name, p50: positive, p95: positive, p99: positive, ratio: positive })))
  expect(rows.pinned).toMatchObject(each({ sizeAtStart: positive, windows: Array.from({ length: 5 }, () => ({ size: positive })) }))
  expect(rows.backlog).toMatchObject(each({ small: { median: positive }, large: { median: positive }, ratio: positive }))
  expect(JSON.parse(JSON.stringify(result)).server.settings).toHaveProperty("fsync")

  expect(printed[0]).toContain(`Postgres ${inject("serverVersion")}`)
  for (const name of names) expect(printed.join("\n").split(`│ ${name} `).length).toBeGreaterThan(10)
  expect(lines).toContainEqual(expect.stringMatching(/^drain by 10, round 1 of 1: raw [\d,]+\/s, sluice-pg /))
})

test("every workload of streams gives complete results", { timeout: 90_000 }, async () => {
  const lines: string[] = []
  const { workloads: results } = await runBench(
    { workloads: ofStreams, contestants, rounds: 1, sizes: tinySizes, pinnedSeconds: 2 },
    { serverUrl: inject("serverUrl"), stop: new AbortController().signal, log: (line) => lines.push(line), print: () => {} },
  )
  const rows = results as Record<string, Record<string, unknown>[]>
  expect(Object.keys(rows)).toEqual(["streams", "stream-latency", "stream-pinned"])
  expect(rows.streams).toHaveLength(8)
  expect(rows.streams).toMatchObject(Array.from({ length: 8 }, () => ({ median: positive, ratio: positive, wal: { median: positive } })))
  expect(rows["stream-latency"]).toMatchObject(["publish", "publish in client.transaction", "publish in a transaction of the user's own, no wake"].map((name) => ({ case: name, p50: positive })))
  expect(rows["stream-pinned"]).toMatchObject([{ contestant: "sluice-stream", windows: Array.from({ length: 5 }, () => ({ size: positive, deadRows: expect.any(Number) as number })) }])
  expect(lines).toContainEqual(expect.stringMatching(/^streams, round 1 of 1: published one by one [\d.,]+\/s, published by 1000 /))
})

test("Ctrl-C ends it, and leaves no database behind", { timeout: 60_000 }, async () => {
  const databases = "select datname from pg_database where datname like 'sluice_bench_pinned_%'"
  const env = { ...process.env, DATABASE_URL: inject("serverUrl"), SLUICE_TEST_DATABASE: "url" }
  const args = ["--seconds", "1", "--workload", "pinned", "--contestant", "raw", "--contestant", "sluice-pg"]
  const child = spawn(process.execPath, [join(import.meta.dirname, "../src/main.ts"), ...args], { env, stdio: ["ignore", "ignore", "pipe"] })
  let output = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    output += text
    // The first contestant is done, and the second one's load is about to run.
    if (text.includes("pinned: raw")) setTimeout(() => child.kill("SIGINT"), 500)
  })
  const [code] = (await once(child, "close")) as [number | null]
  expect(code, output).toBe(130)
  expect(output).toContain("Stopped.")
  expect(await rowsOf(databases)).toEqual([])
})

async function rowsOf(text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: inject("serverUrl") })
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}
