import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { mkdtempSync, chmodSync } from "node:fs"
import { rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Pool } from "pg"

const tables = `select c.relname as name from pg_class c where c.relnamespace = 'sluice'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1`
const sequences = `select c.relname as name from pg_class c where c.relnamespace = 'sluice'::regnamespace and c.relkind = 'S' order by 1`

/** A logical restore: every table by COPY from one snapshot, and every sequence, into a schema that is installed anew. Both servers are of this machine. */
export async function copyInstallation(from: Pool, to: Pool): Promise<void> {
  await createClient(pgDriver(to), { listen: false, notify: false }).admin.install()
  const folder = mkdtempSync(join(tmpdir(), "sluice-copy-"))
  chmodSync(folder, 0o777)
  const [source, target] = [await from.connect(), await to.connect()]
  try {
    await source.query("begin isolation level repeatable read")
    await target.query("begin; set local session_replication_role = replica") // foreign keys hold when all is there
    for (const { id } of (await source.query("select id from sluice.stream order by id")).rows) await target.query(`set local search_path = sluice; select create_event_tables(${id}); set local search_path = public`)
    for (const { name } of (await source.query<{ name: string }>(tables)).rows) {
      const file = join(folder, name)
      await source.query(`copy (select * from sluice."${name}") to '${file}'`)
      await target.query(`delete from sluice."${name}"`)
      await target.query(`copy sluice."${name}" from '${file}'`)
    }
    for (const { name } of (await source.query<{ name: string }>(sequences)).rows) {
      const { last_value: last, is_called: called } = (await source.query(`select * from sluice."${name}"`)).rows[0]!
      await target.query(`create sequence if not exists sluice."${name}"`)
      await target.query("select setval($1, $2, $3)", [`sluice."${name}"`, last, called])
    }
    await target.query("commit")
  } finally {
    await source.query("rollback")
    source.release()
    target.release()
    await rm(folder, { recursive: true })
  }
}
