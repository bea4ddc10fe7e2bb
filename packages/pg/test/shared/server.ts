import { Socket } from "node:net"
import { afterAll } from "vitest"
import { Pool } from "pg"
import { databasePerFile } from "@sluice/testkit/vitest"

export const { url } = await databasePerFile()

const admin = new Pool({ connectionString: url, max: 2 })
afterAll(() => admin.end())

/** A look from outside any driver. */
export async function ask<Row = any>(text: string, values: unknown[] = []): Promise<Row[]> {
  return (await admin.query(text, values)).rows
}

export const kill = (pid: number): Promise<unknown> => ask("select pg_terminate_backend($1)", [pid])

/** How many connections with this application_name there are, once they have settled on `expected`, or after 3 s. */
export async function connections(name: string, expected: number): Promise<number> {
  const text = "select count(*)::int as n from pg_stat_activity where application_name = $1"
  for (let i = 0; ; i++) {
    const [{ n }] = await ask(text, [name])
    if (n === expected || i === 60) return n
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200 && !(await condition()); i++) await new Promise((resolve) => setTimeout(resolve, 50))
}

/** A socket that counts what a client waits an answer for: Query, Sync and Flush. */
export function countingSocket(waits: { count: number }): Socket {
  const socket = new Socket()
  const { write } = socket
  // connect() puts the original back, so that this has to come after it.
  socket.on("connect", () => {
    socket.write = (...chunk: any[]) => {
      const bytes = Buffer.from(chunk[0])
      for (let i = 0; i + 5 <= bytes.length && bytes[i] !== 0; i += bytes.readUInt32BE(i + 1) + 1) {
        if ("QSH".includes(String.fromCharCode(bytes[i] as number))) waits.count++
      }
      return Reflect.apply(write, socket, chunk)
    }
  })
  return socket
}
