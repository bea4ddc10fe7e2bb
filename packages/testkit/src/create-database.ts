import { randomBytes } from "node:crypto"
import pg from "pg"

export interface TestDatabase {
  readonly name: string
  readonly url: string
  /** Drops it, closing whoever is still connected. */
  drop(): Promise<void>
}

/** Creates an empty database on a server. `label` is for people who look at the server: any text will do. */
export async function createDatabase(serverUrl: string, label: string): Promise<TestDatabase> {
  const readable = label.toLowerCase().replace(/[^a-z0-9]+/g, "_").slice(-40)
  const name = `sluice_${readable}_${randomBytes(4).toString("hex")}`
  await runOnServer(serverUrl, `create database ${name} template template0`)
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return { name, url: url.href, drop: () => runOnServer(serverUrl, `drop database if exists ${name} with (force)`) }
}

async function runOnServer(serverUrl: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: serverUrl })
  client.on("error", () => {}) // a server that is stopping: the statement's own rejection is enough
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
