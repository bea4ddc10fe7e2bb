import { setTimeout as sleep } from "node:timers/promises"
import pg from "pg"
import type { Guard, GuardedRun } from "./start-guard.ts"

const patience = 30_000

/** Connects until the server answers. Rejects with its last words when it ends first or takes longer than 30 s. */
export async function waitUntilReady(url: string, run: GuardedRun, guard: Guard): Promise<void> {
  for (const deadline = Date.now() + patience; ; await sleep(20)) {
    if (run.code !== undefined) throw new Error(`The server ended with code ${run.code}.\n${guard.output()}`)
    try {
      return await tryToConnect(url)
    } catch (cause) {
      if (Date.now() > deadline) throw new Error(`No answer within ${patience / 1000} s.\n${guard.output()}`, { cause })
    }
  }
}

async function tryToConnect(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 })
  client.on("error", () => {})
  await client.connect()
  await client.end()
}
