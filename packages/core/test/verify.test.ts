import { createClient, SchemaNotInstalledError } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { embeddedVersions, startEmbedded } from "@sluice/testkit"
import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness, inTransaction, openPool } from "./helpers/harness.ts"

const { client, pool, freshQueue } = await harness()

/** What `verify` says of a damage, which is then undone. */
async function differencesAfter(damage: string): Promise<string[]> {
  return inTransaction(
    pool,
    async (tx) => {
      await tx.query(damage)
      const { ok, differences } = await client.admin.verify({ tx })
      expect(ok).toBe(differences.length === 0)
      return differences
    },
    { end: "rollback" },
  )
}

describe("verify finds nothing", () => {
  test.each(embeddedVersions)(
    "in a new installation on Postgres %i, in any schema",
    async (version) => {
      const server = await startEmbedded({ version })
      const own = openPool(server.url, 2)
      for (const schema of ["sluice", "Select", "a".repeat(50)]) {
        const one = createClient(pgDriver(own), { schema, listen: false })
        await one.admin.install()
        expect(await one.admin.verify()).toEqual({ ok: true, differences: [] })
      }
      await own.end()
      await server.stop()
    },
    60_000,
  )

  test("in one that is in use: queues, messages, archive and dropped queues are no part of it", async () => {
    const name = await freshQueue({ deadLetter: await freshQueue() })
    await client.queue(name).sendBatch([{ payload: 1 }, { payload: 2 }])
    await client.queue(name).archive((await client.queue(name).read())!)
    await client.admin.dropQueue(await freshQueue())
    expect(await client.admin.verify()).toEqual({ ok: true, differences: [] })
  })

  test("where another role looks, with another search_path, and in a read-only transaction", async () => {
    const begin = "begin read only; set local search_path = sluice, public; set local role pg_monitor"
    await pool.query("grant usage on schema sluice to pg_monitor")
    expect(await inTransaction(pool, (tx) => client.admin.verify({ tx }), { begin })).toEqual({
      ok: true,
      differences: [],
    })
    await pool.query("revoke usage on schema sluice from pg_monitor")
  })
})

describe("verify names", () => {
  test.each<[what: string, damage: string, ...differences: RegExp[]]>([
    [
      "a missing table",
      "drop table sluice.floor",
      /^table floor: missing$/,
      /^column floor\.vt: missing$/,
      /^index floor_pkey: missing$/,
    ],
    [
      "an extra table",
      "create table sluice.notes (n int)",
      /^table notes: not part of this version$/,
      /^column notes\.n: not part/,
    ],
    ["a missing column", "alter table sluice.message drop column errors", /^column message\.errors: missing$/],
    [
      "an extra column",
      "alter table sluice.queue add column colour text",
      /^column queue\.colour: not part of this version$/,
    ],
    [
      "a changed type",
      "alter table sluice.queue alter column max_attempts type bigint",
      /^column queue\.max_attempts: is "bigint default 20", should be "integer default 20"$/,
    ],
    [
      "a changed default",
      "alter table sluice.queue alter column levels set default 5",
      /^column queue\.levels: .*default 5.*default 4/,
    ],
    [
      "a default that is gone",
      "alter table sluice.message alter column id drop default",
      /^column message\.id: .*nextval/,
    ],
    [
      "a column that may be null",
      "alter table sluice.message alter column payload drop not null",
      /^column message\.payload: is "jsonb", should be "jsonb not null"$/,
    ],
    ["a dropped index", "drop index sluice.message_claim", /^index message_claim: missing$/],
    [
      "an index on other columns",
      "drop index sluice.archive_id; create index archive_id on sluice.archive (queue)",
      /^index archive_id: .*\(queue\).*\(id\)/,
    ],
    ["an extra index", "create index slow on sluice.message (payload)", /^index slow: not part of this version$/],
    [
      "an index that is no longer partial",
      "drop index sluice.queue_name; create unique index queue_name on sluice.queue (name)",
      /^index queue_name: .*dropped_at/,
    ],
    [
      "a dropped constraint",
      "alter table sluice.archive drop constraint archive_outcome_check",
      /^constraint archive\.archive_outcome_check: missing$/,
    ],
    [
      "a changed constraint",
      "alter table sluice.queue drop constraint queue_levels_check, add constraint queue_levels_check check (levels between 1 and 99)",
      /^constraint queue\.queue_levels_check: .*99.*16/,
    ],
    [
      "a constraint that was not validated",
      "alter table sluice.queue drop constraint queue_notify_check, add constraint queue_notify_check check (notify = any (array['off'::text, 'transaction'::text])) not valid",
      /^constraint queue\.queue_notify_check: .*NOT VALID/,
    ],
    ["a missing function", "drop function sluice.try_send", /^function try_send\(.*\): missing$/],
    [
      "an extra function",
      "create function sluice.mine() returns int language sql as 'select 1'",
      /^function mine\(\): not part of this version$/,
    ],
    [
      "an altered body",
      "create or replace function sluice.clock() returns timestamptz language sql volatile as 'select now()'",
      /^function clock\(\): .*is "select now\(\)", should be "select clock_timestamp\(\)"$/,
    ],
    [
      "a changed search_path",
      "alter function sluice.try_read set search_path = public",
      /^function try_read\(.*\): .*search_path=public/,
    ],
    ["a setting that is gone", "alter function sluice.lock_ready reset enable_seqscan", /^function lock_ready\(.*\): /],
    ["another volatility", "alter function sluice.clock stable", /^function clock\(\): .*stable.*volatile/],
    [
      "a SECURITY DEFINER that nobody asked for",
      "alter function sluice.bury security definer",
      /^function bury\(.*\): .*security definer/,
    ],
    [
      "a missing sequence",
      "alter table sluice.message alter column id drop default; drop sequence sluice.message_id",
      /^sequence message_id: missing$/,
    ],
    [
      "a changed sequence",
      "alter sequence sluice.message_id increment 2",
      /^sequence message_id: .*increment 2.*increment 1/,
    ],
    [
      "a partition that is gone",
      "alter table sluice.archive detach partition sluice.archive_default",
      /^table archive_default: /,
    ],
    ["an unlogged table", "alter table sluice.message_1 set unlogged", /^table message_1: .*unlogged/],
    ["a storage setting", "alter table sluice.message_0 set (fillfactor = 50)", /^table message_0: .*50.*90/],
    [
      "a changed collation",
      'alter table sluice.queue alter column name type text collate "POSIX"',
      /^column queue\.name: .*POSIX/,
    ],
    [
      "a trigger",
      "create function sluice.t() returns trigger language plpgsql as 'begin return null; end'; create trigger swallow before insert on sluice.message_0 for each row execute function sluice.t()",
      /trigger message_0\.swallow: not part of this version/,
    ],
    [
      "a disabled index",
      "update pg_index set indisvalid = false where indexrelid = 'sluice.message_claim'::regclass",
      /^index message_claim: /,
    ],
    ["row security", "alter table sluice.message enable row level security", /^table message: /],
  ])("%s", async (_what, damage, ...expected) => {
    const differences = await differencesAfter(damage)
    for (const one of expected) expect(differences).toContainEqual(expect.stringMatching(one))
  })

  test("a damage once for what it is, and no bystander", async () => {
    expect(await differencesAfter("create index slow on sluice.queue (created_at)")).toEqual([
      "index slow: not part of this version",
    ])
    expect(await differencesAfter("drop function sluice.purge")).toEqual(["function purge(queue text): missing"])
    expect(await differencesAfter("alter sequence sluice.message_id cache 5")).toHaveLength(1)
  })
})

describe("verify of nothing", () => {
  test("is a SchemaNotInstalledError: without the schema, in the wrong one, and in an empty one", async () => {
    for (const schema of ["nowhere", "wrong", "empty"]) {
      if (schema === "empty") await pool.query("create schema empty")
      if (schema === "wrong") await pool.query("create schema wrong; create table wrong.message (id int)")
      const error = await errorOf<SchemaNotInstalledError>(
        createClient(pgDriver(pool), { schema, listen: false }).admin.verify(),
      )
      expect(error, schema).toBeInstanceOf(SchemaNotInstalledError)
      expect(error).toMatchObject({ code: "schema_not_installed", schema })
    }
  })
})
