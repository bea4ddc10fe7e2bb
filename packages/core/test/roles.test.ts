import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { databasePerFile } from "@sluice/testkit/vitest"
import { afterAll, describe, expect, test } from "vitest"
import { openPool } from "./helpers/harness.ts"
import { dropRoles, type Login, openLogin } from "./helpers/logins.ts"

const kinds = ["producer", "consumer", "reader", "admin"] as const
type Kind = (typeof kinds)[number]

/** Every function of the schema, put into a class by hand: who a function is for must be decided, not forgotten. */
const classes: Record<Kind | "everybody" | "nobody", string> = {
  producer: `send send_batch cancel try_send try_send_batch try_send_with try_edit try_cancel results_of insert_event try_publish try_forward`,
  consumer: `read pop delete archive release set_vt extend retry snooze dead_letter try_read try_pop try_delete try_archive try_settle try_set_vt
    try_lock try_finish beat leave_worker maintain flip_step due_partitions partition_step expire_archive clear_leftovers due_schedules
    fire_schedule try_progress once try_once keep_once expire_once installation_id try_next_batch reading_probe try_batch_events
    try_lock_batch try_renew_batch try_finish_batch try_forward_source next_batch batch_events renew_batch release_batch finish_batch
    try_tick due_streams rotate_step clear_batches check_lags`,
  reader: `storage_differences metrics try_metrics list_queues count_queues try_get_queue try_list_messages try_count_messages try_list_archive
    try_count_archive try_get_schedule list_schedules try_list_workers try_count_workers try_get_worker try_worker_health try_stream_info
    try_get_stream try_list_streams try_list_subscriptions try_list_dead_events`,
  admin: `create_queue update_queue drop_queue purge admin_delete admin_archive admin_set_vt pause_queue resume_queue redrive try_pause
    try_redrive try_create_queue try_update_queue try_drop_queue try_purge try_admin_delete try_admin_archive try_admin_set_vt
    try_upsert_schedule try_pause_schedule try_resume_schedule try_remove_schedule try_run_schedule suspend_worker resume_worker
    shutdown_worker purge_workers try_tell_worker create_stream update_stream drop_stream create_subscription drop_subscription force_tick
    after_restore promote_stream try_promote_stream try_create_stream try_update_stream try_drop_stream try_create_subscription
    try_update_subscription try_reposition try_drop_subscription try_redrive_events try_after_restore capture capture_plan try_capture_table
    capture_row expression_fault`,
  everybody: "installed_version",
  nobody: `append_event archive_info archive_of archive_table archives argument_fault backoff_delay backoff_wanted batch_info beat_interval
    beyond_limit blocks_fetched bury capture_fault captures_of clear_cancellations clear_keys clear_rates clear_results clock
    clone_functions cloned cluster_fault count_messages count_rates count_sent count_waiting create_event_tables create_storage cut
    dead_ahead dead_letter_cycle dead_sources differences discard discard_expired discard_rows done_up_to drop_counters drop_range
    drop_storage due_retries empty_segment ended_badly epoch_ms epoch_ms_of error_document event_leaf event_table event_table_differences
    events_in_batch events_of events_between exact exact_row existing_fault expired filter_fault first_id first_ready flip_move flip_pays flip_truncate
    flip_wanted flipping forget_subscription forget_ticks forward_holders forward_state forward_waits found_elsewhere goes_round grant_role
    group_left group_of hand_out has_floor held_batch held_of hold_batch hold_if_free hold_storage hold_stream hold_stream_if_free
    holders_of insert_message isolation_fault items_fault keep keep_results key_holder key_text lag_fine lag_of lag_wanted last_sent
    leaf_settings leased_until left_queue limits_fault lock_child lock_group lock_grouped lock_key lock_ready lock_space lock_subscription
    look_below maintained_lately make_range make_tick message_info message_leaf message_state message_table messages_of missing_queue_fault
    new_lease newest_batch newest_segment next_content next_group next_slice oldest_waiting open_batches open_window options_fault
    other_leaf own own_relation own_schema partition_fault partition_measure partition_steps partitioned priority_fault publish_fault
    published put_off queue_fault queue_info queue_left raise_fault range_bound range_may_go rate_left rate_per rate_wanted reading_fault
    ready_again ready_at record_change redrive_fault regroup release_children release_dependants renew reopen replace_message retry_due
    role_functions rotation_is_due schedule_fault schedule_info schedule_timing schedule_wanted searches_arrays seen_now send_item send_run
    set_apart set_limits set_position set_queue set_role set_segments set_storage set_stream set_subscription skip_nothing stale_batch_fault
    stale_fault stamp_worker start_of storage_functions storage_info storage_of storage_wanted stream_bytes stream_differences
    stream_in_use_fault stream_info stream_of stream_options_fault subscription_differences subscription_fault subscription_info
    subscription_of subscription_options_fault subscription_state sweep sweep_level take_copies take_key take_over take_turn tick_for_lag
    tick_is_due use_rate wait_for_others waiting_parts wake_child window_end with_error without_cancelled worker_fault worker_info
    worker_is_stale`,
}
const classOf = new Map(Object.entries(classes).flatMap(([kind, names]) => names.trim().split(/\s+/).map((name) => [name, kind] as const)))

const { url, name: database } = await databasePerFile()
/** Roles belong to the cluster: other files of tests have theirs. */
const suffix = database.slice(-8)
const owner = openPool(url, 4)
const own = { producer: `send "er" ${suffix}`, consumer: `Öl-${suffix}`, reader: `select ${suffix}`, admin: `O'Admin; ${suffix}` }
afterAll(async () => {
  await dropRoles(owner, [...Object.values(own), ...kinds.map((kind) => `named_${suffix}_${kind}`)])
  await owner.end()
})

interface Function {
  readonly name: string
  readonly call: string
  readonly definer: boolean
  readonly settings: string[] | null
}

async function functionsOf(schema: string): Promise<Function[]> {
  const { rows } = await owner.query<Function>(
    `select proname as name, prosecdef as definer, proconfig as settings,
            format('select %I.%I(%s)', $1::text, proname, (select string_agg('null::' || format_type(t, null), ', ' order by n) from unnest(proargtypes) with ordinality a(t, n))) as call
       from pg_proc where pronamespace = quote_ident($1::text)::regnamespace order by 1`,
    [schema],
  )
  return rows
}

/** The class of a function; those of a dedicated storage are nobody's, since the shared ones pass calls on. */
const classify = (name: string): string | undefined => (/_s\d+$/.test(name) ? "nobody" : classOf.get(name))

/** The SQLSTATE that each statement fails with, undone; null where it did not. */
async function statesOf({ pool }: Pick<Login, "pool">, statements: readonly string[]): Promise<(string | null)[]> {
  const connection = await pool.connect()
  const states: (string | null)[] = []
  await connection.query("begin")
  for (const statement of statements) {
    await connection.query("savepoint before")
    states.push(await connection.query(statement).then(() => null, (error: { code: string }) => error.code))
    await connection.query("rollback to savepoint before")
  }
  await connection.query("rollback")
  connection.release()
  return states
}

async function relationsOf(schema: string): Promise<{ name: string; kind: string; field: string | null }[]> {
  const { rows } = await owner.query(
    `select format('%I.%I', $1::text, relname) as name, relkind as kind,
            (select quote_ident(attname) from pg_attribute where attrelid = c.oid and attnum = 1) as field
       from pg_class c where relnamespace = quote_ident($1::text)::regnamespace and relkind in ('r', 'p', 'S', 'v', 'm')`,
    [schema],
  )
  return rows
}

const tableVerbs = (name: string, field: string | null): string[] => [
  `select from ${name}`,
  `select ${field} from ${name}`,
  `insert into ${name} default values`,
  `update ${name} set ${field} = default`,
  `delete from ${name}`,
  `truncate ${name}`,
  `lock table ${name} in access share mode`,
  `create trigger mine before insert on ${name} for each row execute function suppress_redundant_updates_trigger()`,
]
const sequenceVerbs = (name: string): string[] => [`select nextval('${name}')`, `select setval('${name}', 1)`, `select last_value from ${name}`]

describe.each([
  ["their default names", `named_${suffix}`, true, Object.fromEntries(kinds.map((kind) => [kind, `named_${suffix}_${kind}`]))],
  ["names of one's own", "Own", own, own],
])("roles of %s", async (_what, schema, roles, names) => {
  const installed = createClient(pgDriver(owner), { schema, listen: false, notify: false })
  await installed.admin.install({ roles })
  // Made after the roles: its tables and functions must be closed, too.
  await installed.admin.createQueue("apart", { storage: "dedicated" })
  await installed.admin.createQueue("days", { partition: { by: "time", interval: "1d", retention: "7d", archive: true } })
  await installed.admin.createQueue("shared")
  const functions = await functionsOf(schema)
  const short = schema === "Own" ? "o" : "d"
  const logins = new Map<Kind, Login>()
  for (const kind of kinds) logins.set(kind, await openLogin(owner, url, `${short}_${kind}_${suffix}`, { schema, of: [names[kind]!] }))
  const guest = await openLogin(owner, url, `${short}_guest_${suffix}`, { schema })
  await owner.query(`grant usage on schema "${schema}" to "${guest.name}"`)
  const stranger = await openLogin(owner, url, `${short}_stranger_${suffix}`, { schema })

  test("every function is in a class", () => {
    expect(functions.filter(({ name }) => classify(name) === undefined).map(({ name }) => name)).toEqual([])
    const there = new Set(functions.map(({ name }) => name))
    expect([...classOf.keys()].filter((name) => !there.has(name))).toEqual([])
    expect(functions.filter(({ name }) => /_s\d+$/.test(name)).length).toBeGreaterThan(20)
  })

  test("what a role may call runs as the owner, on a pinned search_path; nothing else does", () => {
    for (const { name, definer, settings } of functions) {
      // The triggers of a table are made by whoever owns it.
      expect(definer, name).toBe(classify(name) !== "nobody" && !["try_capture_table", "capture_row", "expression_fault"].includes(name))
      if (definer) expect(settings, name).toContainEqual(expect.stringMatching(new RegExp(`^search_path="?${schema}"?, pg_temp$`)))
    }
  })

  test.each(kinds)("the %s may call what is its own, and is refused all else with 42501", async (kind) => {
    const mine = (name: string): boolean => {
      const of = classify(name)
      return of === kind || of === "everybody" || (kind === "admin" && of !== "nobody")
    }
    const states = await statesOf(logins.get(kind)!, functions.map(({ call }) => call))
    functions.forEach(({ name }, i) => {
      if (mine(name)) expect(states[i], name).not.toBe("42501")
      else expect(states[i], name).toBe("42501")
    })
  })

  test("who may come into the schema but has no role may call nothing; who has nothing may not even come in", async () => {
    const calls = functions.map(({ call }) => call)
    expect(new Set(await statesOf(guest, calls))).toEqual(new Set(["42501"]))
    expect(new Set(await statesOf(stranger, calls))).toEqual(new Set(["42501"]))
    const reasons = await Promise.all(calls.map((call) => stranger.pool.query(call).catch((error: Error) => error.message)))
    expect(new Set(reasons)).toEqual(new Set([`permission denied for schema ${schema}`]))
  })

  test("nobody may touch a table or a sequence, nor make anything in the schema", async () => {
    const relations = await relationsOf(schema)
    expect(relations.filter(({ name }) => /_s\d+/.test(name)).length).toBeGreaterThan(5)
    const statements = relations.flatMap(({ name, kind, field }) => (kind === "S" ? sequenceVerbs(name) : tableVerbs(name, field)))
    statements.push(`create table "${schema}".mine ()`, `create function "${schema}".mine() returns int language sql as 'select 1'`)
    statements.push(`alter function "${schema}".clock() volatile`, `create or replace function "${schema}".clock() returns timestamptz language sql as 'select now()'`)
    statements.push(`drop schema "${schema}" cascade`, `drop function "${schema}".clock() cascade`)
    for (const login of [...logins.values(), guest, stranger]) {
      const states = await statesOf(login, statements)
      statements.forEach((statement, i) => expect(states[i], `${login.name}: ${statement}`).toBe("42501"))
    }
  })

  test("PUBLIC has no right on anything in the schema", async () => {
    const { rows } = await owner.query(
      `select proname as name, privilege_type as right from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner)))
        where pronamespace = quote_ident($1::text)::regnamespace and grantee = 0
       union all select relname, privilege_type from pg_class, aclexplode(relacl) where relnamespace = quote_ident($1::text)::regnamespace and grantee = 0
       union all select nspname, privilege_type from pg_namespace, aclexplode(nspacl) where nspname = $1::text and grantee = 0`,
      [schema],
    )
    expect(rows).toEqual([])
  })
})
