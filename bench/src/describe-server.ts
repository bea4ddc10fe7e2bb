import { availableParallelism, cpus } from "node:os"
import { withClient } from "./with-client.ts"

/** What the numbers depend on. */
export interface ServerFacts {
  readonly version: string
  readonly settings: Readonly<Record<string, string>>
  /** Of the machine that runs the bench, which is the server's too unless DATABASE_URL says otherwise. */
  readonly cores: number
  readonly processor: string
  readonly node: string
}

const names = ["fsync", "full_page_writes", "synchronous_commit", "shared_buffers", "max_wal_size", "autovacuum"]

export async function describeServer(url: string): Promise<ServerFacts> {
  const rows = await withClient(url, async (client) => {
    const text = "select name, current_setting(name) as value from unnest($1::text[]) with ordinality u(name, n) order by n"
    return (await client.query<{ name: string; value: string }>(text, [["server_version", ...names]])).rows
  })
  const [version, ...settings] = rows
  return {
    version: version!.value,
    settings: Object.fromEntries(settings.map(({ name, value }) => [name, value])),
    cores: availableParallelism(),
    processor: cpus()[0]?.model.trim() ?? "unknown",
    node: process.versions.node,
  }
}

export function formatServer({ version, settings, cores, processor, node }: ServerFacts): string {
  const list = Object.entries(settings).map(([name, value]) => `${name} ${value}`)
  return `Postgres ${version}: ${list.join(", ")}\nThis machine: ${cores} cores of ${processor}, Node ${node}`
}
