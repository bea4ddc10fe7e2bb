// Made by scripts/generate.ts from packages/core/migrations and packages/core/functions. Do not edit.

export interface Migration {
  readonly version: number
  readonly name: string
  /** Code older than this migration must not run on the schema. */
  readonly breaking: boolean
  readonly statements: readonly string[]
}

export const migrations: readonly Migration[] = [
  {
    version: 1,
    name: "storage",
    breaking: false,
    statements: [
      `create table {schema}.migration (
  version int primary key,
  name text not null,
  breaking boolean not null,
  applied_at timestamptz not null default clock_timestamp()
)`,
      `/* Queues and streams share one namespace. A dropped queue leaves its row behind: archived messages still name it. */
create table {schema}.queue (
  id int generated always as identity primary key,
  name text collate "C" not null check (name ~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$'),
  kind text not null default 'work' check (kind in ('work', 'stream')),
  storage int not null default 0,
  levels smallint not null default 4 check (levels between 1 and 16),
  /* Highest \`levels\` this queue ever had. Claims visit them all, so that a send racing with a lowering is never stranded. */
  deepest smallint not null default 4 check (deepest between levels and 16),
  lease interval not null default '30 seconds' check (lease > interval '0' and isfinite(lease)),
  max_attempts int default 20 check (max_attempts > 0),
  dead_letter int references {schema}.queue check (dead_letter <> id),
  notify text not null default 'off' check (notify in ('off', 'transaction')),
  created_at timestamptz not null,
  dropped_at timestamptz
)`,
      `create unique index queue_name on {schema}.queue (name) where dropped_at is null`,
      `create index queue_dead_letter on {schema}.queue (dead_letter) where dead_letter is not null`,
      `create sequence {schema}.message_id`,
      `/* Work storage. Delay, backoff, lease expiry and parking are all just values of vt. Two segments, so that maintenance can
   move the live rows over and truncate the rest. */
create table {schema}.message (
  segment smallint not null,
  queue int not null,
  id bigint not null default nextval('{schema}.message_id'),
  priority smallint not null,
  attempt int not null default 0,
  lease bigint,
  vt timestamptz not null,
  enqueued_at timestamptz not null,
  origin int,
  headers jsonb,
  payload jsonb not null,
  errors jsonb,
  primary key (queue, id, segment)
) partition by list (segment)`,
      `create table {schema}.message_0 partition of {schema}.message for values in (0)
  with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0)`,
      `create table {schema}.message_1 partition of {schema}.message for values in (1)
  with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0)`,
      `/* Partial, so that a by-id plan can never pick it. */
create index message_claim on {schema}.message (queue, priority, vt, id) where vt < 'infinity'`,
      `/* Which segment takes new rows and which ones readers visit. Insert-only, the newest generation counts. */
create table {schema}.segment (
  storage int not null,
  generation bigint not null,
  current smallint not null,
  live smallint[] not null,
  at timestamptz not null,
  primary key (storage, generation)
)`,
      `insert into {schema}.segment (storage, generation, current, live, at) values (0, 1, 0, '{0}', clock_timestamp())`,
      `/* Where a claim scan starts, so that dead entries below cost nothing. Insert-only, the newest version counts. */
create table {schema}.floor (
  storage int not null,
  queue int not null,
  priority smallint not null,
  version bigint generated always as identity,
  vt timestamptz not null,
  swept_at timestamptz not null,
  primary key (storage, queue, priority, version)
)`,
      `create table {schema}.archive (
  queue int not null,
  id bigint not null,
  archived_at timestamptz not null,
  outcome text not null check (outcome in ('done', 'dead')),
  priority smallint not null,
  attempt int not null,
  enqueued_at timestamptz not null,
  origin int,
  headers jsonb,
  payload jsonb not null,
  errors jsonb
) partition by range (archived_at)`,
      `/* No settle ever fails because maintenance did not make a partition. */
create table {schema}.archive_default partition of {schema}.archive default`,
      `create index archive_message on {schema}.archive (queue, id)`,
      `/* Partial, so that a plan for one queue can never pick it. */
create index archive_id on {schema}.archive (id) where queue > 0`,
    ],
  },
  {
    version: 3,
    name: "delivery",
    breaking: false,
    statements: [
      `create type {schema}.delivery as (
  id bigint, priority int, attempt int, lease bigint, enqueued_at timestamptz, visible_at timestamptz, headers jsonb, payload jsonb
)`,
    ],
  },
]

/** Run after the last migration: functions hold no data, so each version brings them whole. */
export const functions: readonly string[] = [
  `/* The one clock of the installation. Tests move time by replacing it. Read it once into a variable: a volatile call
   inside a statement is no index bound. */
create or replace function {schema}.clock() returns timestamptz language sql volatile as 'select clock_timestamp()'`,
  `/* The one definition of a message's states, used by metrics, inspection and audit. No SET clause: it is inlined. */
create or replace function {schema}.message_state(p_lease bigint, p_vt timestamptz, p_now timestamptz) returns text
language sql immutable as $$
  select case
    when p_vt = 'infinity' then 'parked'
    when p_vt <= p_now then 'visible'
    when p_lease is not null then 'inFlight'
    else 'delayed'
  end
$$`,
  `/* What an operation answers when it refuses: a row, never an error of the server, which would poison the caller's transaction. */
create or replace function {schema}.queue_fault(p_queue text, p_kind text) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select coalesce(
    (select jsonb_build_object('code', 'wrong_kind', 'queue', p_queue, 'expected', p_kind, 'actual', kind)
       from queue where name = p_queue and dropped_at is null and kind <> p_kind),
    jsonb_build_object('code', 'queue_not_found', 'queue', p_queue))
$$`,
  `/* A claim or an install sees nothing new, or meets 40001, under a snapshot that is older than its own statement. */
create or replace function {schema}.isolation_fault() returns jsonb
language sql stable as $$
  select case when current_setting('transaction_isolation') in ('repeatable read', 'serializable')
    then jsonb_build_object('code', 'isolation', 'actual', current_setting('transaction_isolation')) end
$$`,
  `/* The public SQL functions raise what the client gets as a row. SQLSTATEs are documented in docs/sql.md. */
create or replace function {schema}.raise_fault(p_fault jsonb) returns void
language plpgsql stable as $$
declare
  v_code text := p_fault->>'code';
begin
  if p_fault is null then
    return;
  end if;
  raise exception using
    message = case v_code
      when 'queue_not_found' then format('There is no queue "%s".', p_fault->>'queue')
      when 'wrong_kind' then format('"%s" is of kind %s, not %s.', p_fault->>'queue', p_fault->>'actual', p_fault->>'expected')
      when 'stale_lease' then format('Message %s of "%s" is no longer held under this lease.', p_fault->>'id', p_fault->>'queue')
      when 'isolation' then format('This needs READ COMMITTED and met %s.', p_fault->>'actual')
      when 'invalid_argument' then format('%s cannot be meant.', p_fault->>'argument')
      else format('%s: %s', v_code, p_fault - 'code')
    end,
    detail = p_fault::text,
    errcode = case v_code
      when 'queue_not_found' then 'SL001'
      when 'wrong_kind' then 'SL002'
      when 'stale_lease' then 'SL003'
      when 'priority' then 'SL004'
      when 'isolation' then 'SL005'
      when 'queue_already_exists' then 'SL006'
      when 'options_differ' then 'SL007'
      when 'dead_letter_cycle' then 'SL008'
      when 'queue_in_use' then 'SL009'
      when 'invalid_argument' then '22023'
      else 'SL000'
    end;
end
$$`,
  `/* What the SQL functions will not take: null would mean another thing than was meant, and a time that never comes, which
   Postgres has since 17, leaves a message where nobody finds it. */
create or replace function {schema}.argument_fault(p_argument text, p_fine boolean) returns jsonb
language sql immutable as $$
  select case when p_fine is not true then jsonb_build_object('code', 'invalid_argument', 'argument', p_argument) end
$$`,
  `create or replace function {schema}.priority_fault(q {schema}.queue, p_priority int, p_index int) returns jsonb
language sql immutable as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'code', 'priority', 'queue', q.name, 'actual', p_priority, 'levels', q.levels, 'index', p_index))
$$`,
  `/* What was ever sent to a queue is a sequence: a counter row would be the hottest row of the database, and held by every
   open transaction of a producer. As everywhere, a rolled-back send counts. Wakes from inside the transaction on request. */
create or replace function {schema}.count_sent(q {schema}.queue, p_count int) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  /* Null under a snapshot so old that the queue is still in it but its counter is dropped; nextval of null does nothing. */
  v_counter regclass := to_regclass('sent_' || q.id);
  v_sent bigint;
begin
  for i in 1 .. p_count loop
    v_sent := nextval(v_counter);
  end loop;
  if q.notify = 'transaction' then
    perform pg_notify(current_schema() || '_wake', q.name);
  end if;
end
$$`,
  `/* One message. Takes no lock that another producer or consumer waits for; any isolation level. */
create or replace function {schema}.try_send(
  p_queue text, p_payload jsonb, p_headers jsonb, p_delay interval, p_at timestamptz, p_priority int
) returns table (fault jsonb, id bigint)
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_segment smallint;
  v_priority int;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  v_priority := coalesce(p_priority, least(1, q.levels - 1));
  if v_priority < 0 or v_priority >= q.levels then
    return query select priority_fault(q, v_priority, null), null::bigint;
    return;
  end if;
  select current into v_segment from segment where storage = q.storage order by generation desc limit 1;
  return query
    insert into message (segment, queue, priority, vt, enqueued_at, headers, payload)
    values (v_segment, q.id, v_priority, greatest(v_now, p_at, v_now + p_delay), v_now, p_headers, coalesce(p_payload, 'null'))
    returning null::jsonb, message.id;
  perform count_sent(q, 1);
end
$$`,
  `/* Many messages, in order, all or nothing. The payloads travel as one JSON array, measured faster than an array of texts;
   p_options is an array of the same length (or empty) of {headers, delay, at, priority}, delay and at in milliseconds. */
create or replace function {schema}.try_send_batch(
  p_queue text, p_payloads jsonb, p_options jsonb, p_headers jsonb, p_delay interval, p_at timestamptz, p_priority int
) returns table (fault jsonb, id bigint)
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_segment smallint;
  v_priority int;
  v_bad record;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  v_priority := coalesce(p_priority, least(1, q.levels - 1));
  select n - 1 as index, coalesce((o->>'priority')::int, v_priority) as priority into v_bad
    from rows from (jsonb_array_elements(p_options)) with ordinality e(o, n)
   where coalesce((o->>'priority')::int, v_priority) not between 0 and q.levels - 1 order by n limit 1;
  if found or v_priority not between 0 and q.levels - 1 then
    return query select priority_fault(q, coalesce(v_bad.priority, v_priority), v_bad.index::int), null::bigint;
    return;
  end if;
  select current into v_segment from segment where storage = q.storage order by generation desc limit 1;
  return query
    insert into message (segment, queue, priority, vt, enqueued_at, headers, payload)
    select v_segment, q.id, coalesce((e.o->>'priority')::int, v_priority),
           case when e.o ? 'at' then greatest(v_now, to_timestamp((e.o->>'at')::float8 / 1000))
                when e.o ? 'delay' then v_now + (e.o->>'delay')::float8 * interval '1 millisecond'
                else greatest(v_now, p_at, v_now + p_delay) end,
           v_now, coalesce(e.o->'headers', p_headers), e.payload
      from rows from (jsonb_array_elements(p_payloads), jsonb_array_elements(p_options)) with ordinality e(payload, o, n)
     order by e.n
    returning null::jsonb, message.id;
  perform count_sent(q, jsonb_array_length(p_payloads));
end
$$`,
  `create or replace function {schema}.send(
  queue text, payload jsonb, headers jsonb default null, delay interval default null, at timestamptz default null, priority int default null
) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(coalesce(
    argument_fault('headers', coalesce(jsonb_typeof(headers), 'object') = 'object'),
    argument_fault('delay', isfinite(coalesce(delay, '0'))),
    argument_fault('at', coalesce(at, '-infinity') < 'infinity')));
  select * into v from try_send(queue, payload, headers, delay, at, priority);
  perform raise_fault(v.fault);
  return v.id;
end
$$`,
  `create or replace function {schema}.send_batch(
  queue text, payloads jsonb[], headers jsonb default null, delay interval default null, at timestamptz default null, priority int default null
) returns setof bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(coalesce(
    argument_fault('headers', coalesce(jsonb_typeof(headers), 'object') = 'object'),
    argument_fault('delay', isfinite(coalesce(delay, '0'))),
    argument_fault('at', coalesce(at, '-infinity') < 'infinity')));
  for v in select * from try_send_batch(queue, coalesce(to_jsonb(payloads), '[]'), '[]', headers, delay, at, priority) loop
    perform raise_fault(v.fault);
    return next v.id;
  end loop;
end
$$`,
  `/* The ids of up to p_limit ready messages, locked, in the order of delivery: priority, then readiness. The array form keeps
   the plan: whoever updates or deletes them has only the primary key left as a path, whatever the statistics say. */
create or replace function {schema}.lock_ready(q {schema}.queue, p_limit int, p_now timestamptz) returns bigint[]
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_sort = off
set jit = off
as $$
declare
  v_live smallint[];
begin
  select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
  return array(
    select r.id
      from generate_series(0, q.deepest - 1) l(level),
           lateral (
             select m.id from message m
              where m.queue = q.id and m.segment = any (v_live) and m.priority = l.level
                and m.vt < 'infinity' and m.vt <= p_now
                and m.vt >= coalesce((select f.vt from floor f
                                       where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                                       order by f.version desc limit 1), '-infinity')
              order by m.vt, m.id limit p_limit for update skip locked) r
     limit p_limit);
end
$$`,
  `/* Those at their limit of attempts among the next 1000 ready messages of each level, locked. Met one by one, each would cost
   a scan over all that were buried before it. Looks before it locks: what is alive stays free for other readers. */
create or replace function {schema}.dead_ahead(q {schema}.queue, p_now timestamptz) returns bigint[]
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_sort = off
set jit = off
as $$
declare
  v_live smallint[];
  v_ids bigint[];
begin
  select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
  v_ids := array(
    select r.id
      from generate_series(0, q.deepest - 1) l(level),
           lateral (
             select m.id, m.attempt from message m
              where m.queue = q.id and m.segment = any (v_live) and m.priority = l.level
                and m.vt < 'infinity' and m.vt <= p_now
                and m.vt >= coalesce((select f.vt from floor f
                                       where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                                       order by f.version desc limit 1), '-infinity')
              order by m.vt, m.id limit 1000) r
     where r.attempt >= q.max_attempts);
  return array(
    select m.id from message m
     where m.queue = q.id and m.id = any (v_ids) and m.attempt >= q.max_attempts and m.vt <= p_now
       for update skip locked);
end
$$`,
  `/* Those of p_ids that used up their attempts leave for the dead-letter queue, or the archive where there is none; never
   those that carry p_spare, the lease of the claim that is just being made. */
create or replace function {schema}.bury(q {schema}.queue, p_ids bigint[], p_spare bigint, p_now timestamptz) returns int
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  d queue;
  v_count int;
begin
  select * into d from queue where id = q.dead_letter and dropped_at is null;
  if d.id is null then
    with gone as (
      delete from message m
       where m.queue = q.id and m.id = any (p_ids) and m.attempt >= q.max_attempts and (p_spare is null or m.lease is distinct from p_spare)
      returning m.*)
    insert into archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors)
    select queue, id, p_now, 'dead', priority, attempt, enqueued_at, origin, headers, payload, errors from gone;
    get diagnostics v_count = row_count;
    return v_count;
  end if;
  with gone as (
    delete from message m
     where m.queue = q.id and m.id = any (p_ids) and m.attempt >= q.max_attempts and (p_spare is null or m.lease is distinct from p_spare)
    returning m.*)
  insert into message (segment, queue, id, priority, vt, enqueued_at, origin, headers, payload, errors)
  select (select current from segment where storage = d.storage order by generation desc limit 1),
         d.id, id, least(priority, d.levels - 1), p_now, enqueued_at, q.id, headers, payload, errors from gone;
  get diagnostics v_count = row_count;
  perform count_sent(d, v_count);
  return v_count;
end
$$`,
  `/* 63 random bits. Not from random(), which a session may have seeded. */
create or replace function {schema}.new_lease() returns bigint
language sql volatile as 'select uuid_hash_extended(gen_random_uuid(), 0) & 9223372036854775807'`,
  `/* Leases up to p_limit ready messages; an UPDATE returns rows in no order, so each carries its place. One random lease for the claim: rollback, crash or restore can never repeat it.
   A message at its limit of attempts is buried instead of delivered; 10,000 of them end the claim, so that a crowd of dead
   ones is cleared by several claims where one would run into a timeout again and again. p_own: nobody else's transaction, so the commit need
   not wait for the disk; a claim that is lost in a crash is delivered again, and the settle that follows flushes it. */
create or replace function {schema}.try_read(p_queue text, p_limit int, p_lease interval, p_own boolean)
returns table (
  fault jsonb, place int, id bigint, priority int, attempt int, lease bigint, enqueued_at timestamptz, visible_at timestamptz,
  headers jsonb, payload jsonb
)
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_lease bigint := new_lease();
  v_until timestamptz;
  v_want int := p_limit;
  v_seen int := 0;
  v_buried int := 0;
  v_ids bigint[];
  v_sorted bigint[];
  v_rank int[];
  v_taken int;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or isolation_fault() is not null then
    return query select coalesce(isolation_fault(), queue_fault(p_queue, 'work')),
      0, null::bigint, 0, 0, null::bigint, v_now, v_now, null::jsonb, null::jsonb;
    return;
  end if;
  if p_own then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  v_until := greatest(v_now, v_now + coalesce(p_lease, q.lease));
  loop
    v_ids := lock_ready(q, v_want, v_now);
    exit when v_ids = '{}';
    if p_limit > 1 then
      select array_agg(i order by i), array_agg(v_seen + n order by i) into v_sorted, v_rank
        from unnest(v_ids) with ordinality u(i, n);
    end if;
    return query
      update message m set vt = v_until, lease = v_lease, attempt = m.attempt + 1
       where m.queue = q.id and m.id = any (v_ids) and (q.max_attempts is null or m.attempt < q.max_attempts)
      returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt, m.lease, m.enqueued_at, m.vt, m.headers, m.payload;
    get diagnostics v_taken = row_count;
    exit when v_taken = cardinality(v_ids);
    v_buried := v_buried + bury(q, v_ids || dead_ahead(q, v_now), v_lease, v_now);
    v_want := v_want - v_taken;
    v_seen := v_seen + cardinality(v_ids);
    /* What a lease of 0 took is ready again already: a second look would find it. */
    exit when v_want = 0 or v_buried >= 10000 or v_taken > 0 and v_until <= v_now;
  end loop;
end
$$`,
  `/* Reads and deletes in one step: at most once, for those who would rather lose a message than see it twice. */
create or replace function {schema}.try_pop(p_queue text, p_limit int)
returns table (
  fault jsonb, place int, id bigint, priority int, attempt int, lease bigint, enqueued_at timestamptz, visible_at timestamptz,
  headers jsonb, payload jsonb
)
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_want int := p_limit;
  v_seen int := 0;
  v_buried int := 0;
  v_ids bigint[];
  v_sorted bigint[];
  v_rank int[];
  v_taken int;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or isolation_fault() is not null then
    return query select coalesce(isolation_fault(), queue_fault(p_queue, 'work')),
      0, null::bigint, 0, 0, null::bigint, v_now, v_now, null::jsonb, null::jsonb;
    return;
  end if;
  loop
    v_ids := lock_ready(q, v_want, v_now);
    exit when v_ids = '{}';
    if p_limit > 1 then
      select array_agg(i order by i), array_agg(v_seen + n order by i) into v_sorted, v_rank
        from unnest(v_ids) with ordinality u(i, n);
    end if;
    return query
      delete from message m
       where m.queue = q.id and m.id = any (v_ids) and (q.max_attempts is null or m.attempt < q.max_attempts)
      returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt + 1, null::bigint, m.enqueued_at, m.vt, m.headers, m.payload;
    get diagnostics v_taken = row_count;
    exit when v_taken = cardinality(v_ids);
    v_buried := v_buried + bury(q, v_ids || dead_ahead(q, v_now), null, v_now);
    v_want := v_want - v_taken;
    v_seen := v_seen + cardinality(v_ids);
    exit when v_want = 0 or v_buried >= 10000;
  end loop;
end
$$`,
  `create or replace function {schema}.read(queue text, "limit" int default 1, lease interval default null) returns setof {schema}.delivery
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(coalesce(
    argument_fault('limit', "limit" >= 0),
    argument_fault('lease', isfinite(coalesce(lease, '0')))));
  for v in select * from try_read(queue, "limit", lease, false) order by place loop
    perform raise_fault(v.fault);
    return next (v.id, v.priority, v.attempt, v.lease, v.enqueued_at, v.visible_at, v.headers, v.payload)::delivery;
  end loop;
end
$$`,
  `create or replace function {schema}.pop(queue text, "limit" int default 1) returns setof {schema}.delivery
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('limit', "limit" >= 0));
  for v in select * from try_pop(queue, "limit") order by place loop
    perform raise_fault(v.fault);
    return next (v.id, v.priority, v.attempt, v.lease, v.enqueued_at, v.visible_at, v.headers, v.payload)::delivery;
  end loop;
end
$$`,
  `/* Every settle matches (id, lease). p_ids is ascending, so that all settles lock in one order, and width_bucket finds the
   lease that belongs to an id by binary search. An expired lease that nobody has taken since still settles. */
create or replace function {schema}.try_delete(p_queue text, p_ids bigint[], p_leases bigint[]) returns table (fault jsonb, id bigint)
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  q queue;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  return query
    delete from message m
     where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
    returning null::jsonb, m.id;
end
$$`,
  `create or replace function {schema}.try_archive(p_queue text, p_ids bigint[], p_leases bigint[]) returns table (fault jsonb, id bigint)
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  return query
    with gone as (
      delete from message m
       where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
      returning m.*)
    insert into archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors)
    select queue, id, v_now, 'done', priority, attempt, enqueued_at, origin, headers, payload, errors from gone
    returning null::jsonb, archive.id;
end
$$`,
  `/* Hands messages back, ready at once. The attempt stays counted. */
create or replace function {schema}.try_release(p_queue text, p_ids bigint[], p_leases bigint[]) returns table (fault jsonb, id bigint)
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  return query
    update message m set vt = v_now, lease = null
     where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
    returning null::jsonb, m.id;
end
$$`,
  `/* Moves the end of a lease: to p_at, to p_delay from now, or by p_extend. Never below now, so that no reader's floor passes it. */
create or replace function {schema}.try_set_vt(
  p_queue text, p_id bigint, p_lease bigint, p_at timestamptz, p_delay interval, p_extend interval
) returns table (fault jsonb, visible_at timestamptz)
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::timestamptz;
    return;
  end if;
  return query
    update message m set vt = greatest(v_now, p_at, v_now + p_delay, m.vt + p_extend)
     where m.queue = q.id and m.id = p_id and m.lease = p_lease
    returning null::jsonb, m.vt;
end
$$`,
  `/* Gives a failed message back with its error, ready after p_delay; at its limit of attempts it is buried instead. The last
   50 errors are kept: without a limit of attempts they would outgrow every payload, and each retry rewrites them all.
   outcome: 'retry' or 'dead'. */
create or replace function {schema}.try_retry(p_queue text, p_id bigint, p_lease bigint, p_delay interval, p_error jsonb)
returns table (fault jsonb, outcome text, visible_at timestamptz)
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_vt timestamptz;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::text, null::timestamptz;
    return;
  end if;
  update message m
     set vt = greatest(v_now, v_now + p_delay), lease = null,
         errors = case when p_error is null then m.errors
                  else case when jsonb_array_length(m.errors) >= 50 then m.errors - 0 else coalesce(m.errors, '[]') end || jsonb_build_array(p_error || jsonb_build_object('attempt', m.attempt, 'at', v_now)) end
   where m.queue = q.id and m.id = p_id and m.lease = p_lease
  returning m.vt into v_vt;
  if v_vt is null then
    return;
  end if;
  if bury(q, array[p_id], null, v_now) > 0 then
    return query select null::jsonb, 'dead', null::timestamptz;
  else
    return query select null::jsonb, 'retry', v_vt;
  end if;
end
$$`,
  `create or replace function {schema}.stale_fault(p_queue text, p_id bigint) returns jsonb
language sql immutable as $$ select jsonb_build_object('code', 'stale_lease', 'queue', p_queue, 'id', p_id::text) $$`,
  `/* The public forms raise SL003 when the lease is stale. */
create or replace function {schema}.delete(queue text, id bigint, lease bigint) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_delete(queue, array[id], array[lease]);
  perform raise_fault(coalesce(v.fault, case when v.id is null then stale_fault(queue, id) end));
end
$$`,
  `create or replace function {schema}.archive(queue text, id bigint, lease bigint) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_archive(queue, array[id], array[lease]);
  perform raise_fault(coalesce(v.fault, case when v.id is null then stale_fault(queue, id) end));
end
$$`,
  `create or replace function {schema}.release(queue text, id bigint, lease bigint) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_release(queue, array[id], array[lease]);
  perform raise_fault(coalesce(v.fault, case when v.id is null then stale_fault(queue, id) end));
end
$$`,
  `create or replace function {schema}.set_vt(queue text, id bigint, lease bigint, delay interval) returns timestamptz
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('delay', isfinite(delay)));
  select * into v from try_set_vt(queue, id, lease, null, delay, null);
  perform raise_fault(coalesce(v.fault, case when v.visible_at is null then stale_fault(queue, id) end));
  return v.visible_at;
end
$$`,
  `create or replace function {schema}.extend(queue text, id bigint, lease bigint, by interval) returns timestamptz
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('by', isfinite(by)));
  select * into v from try_set_vt(queue, id, lease, null, null, by);
  perform raise_fault(coalesce(v.fault, case when v.visible_at is null then stale_fault(queue, id) end));
  return v.visible_at;
end
$$`,
  `create or replace function {schema}.retry(queue text, id bigint, lease bigint, delay interval default '0', error jsonb default null) returns text
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('delay', isfinite(coalesce(delay, '0'))));
  select * into v from try_retry(queue, id, lease, delay, case
    when error is null or jsonb_typeof(error) = 'object' then error
    else jsonb_build_object('name', 'Error', 'message', error #>> '{}') end);
  perform raise_fault(coalesce(v.fault, case when v.outcome is null then stale_fault(queue, id) end));
  return v.outcome;
end
$$`,
  `create or replace function {schema}.queue_info(q {schema}.queue) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object(
    'id', q.id::text, 'name', q.name, 'createdAt', extract(epoch from q.created_at) * 1000,
    'levels', q.levels, 'lease', extract(epoch from q.lease) * 1000, 'maxAttempts', q.max_attempts,
    'deadLetter', (select name from queue where id = q.dead_letter), 'notify', q.notify)
$$`,
  `create or replace function {schema}.differences(q {schema}.queue, p_options jsonb) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('code', 'options_differ', 'queue', q.name,
           'differences', jsonb_agg(jsonb_build_object('option', key, 'stored', stored, 'requested', value) order by key))
    from (select key, queue_info(q)->key as stored,
                 case when key = 'lease' then to_jsonb(extract(epoch from (value #>> '{}')::interval) * 1000) else value end as value
            from jsonb_each(p_options)) o
   where stored is distinct from value
  having count(*) > 0
$$`,
  `create or replace function {schema}.existing_fault(q {schema}.queue, p_options jsonb, p_must_be_new boolean) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select case
    when q.kind <> 'work' then queue_fault(q.name, 'work')
    when p_must_be_new then jsonb_build_object('code', 'queue_already_exists', 'queue', q.name)
    else differences(q, p_options)
  end
$$`,
  `/* Creates a queue or finds it. Options: levels, lease, maxAttempts, deadLetter, notify. Options that differ from the stored
   ones are an answer that names each difference, never silently kept. */
create or replace function {schema}.try_create_queue(p_name text, p_options jsonb, p_must_be_new boolean)
returns table (fault jsonb, created boolean, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  q queue;
  v_fault jsonb;
begin
  loop
    insert into queue (name, created_at) values (p_name, clock())
      on conflict (name) where dropped_at is null do nothing returning * into q;
    exit when found;
    select * into q from queue where name = p_name and dropped_at is null;
    if found then
      return query select existing_fault(q, p_options, p_must_be_new), false, queue_info(q);
      return;
    end if;
    /* It was dropped between the two statements. */
  end loop;
  execute format('create sequence %I.%I', current_schema(), 'sent_' || q.id);
  v_fault := set_queue(q.id, p_options);
  if v_fault is not null then
    execute format('drop sequence %I.%I', current_schema(), 'sent_' || q.id);
    delete from queue where id = q.id;
    return query select v_fault, null::boolean, null::jsonb;
    return;
  end if;
  return query select null::jsonb, true, queue_info(n) from queue n where n.id = q.id;
end
$$`,
  `create or replace function {schema}.dead_letter_cycle(p_queue int, p_dead_letter int) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  with recursive chain (id, path) as (
    select q.id, array[(select name from queue where id = p_queue), q.name] from queue q where q.id = p_dead_letter
    union all
    select n.id, c.path || n.name from chain c join queue q on q.id = c.id join queue n on n.id = q.dead_letter
     where c.id <> p_queue)
  select jsonb_build_object('code', 'dead_letter_cycle', 'queue', path[1], 'path', path) from chain where id = p_queue
$$`,
  `/* Applies a patch of options. Lowering the levels moves the messages of removed levels to the last one, in order of id, as
   settles lock. */
create or replace function {schema}.set_queue(p_id int, p_patch jsonb) returns jsonb
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_dead_letter int;
  v_fault jsonb;
begin
  if p_patch->>'deadLetter' is not null then
    if isolation_fault() is not null then
      return isolation_fault();
    end if;
    /* Two updates at once must not close a cycle that neither sees. No lock of the table: who creates a queue holds one
       on it that conflicts, and two of them would wait for one another. */
    perform pg_advisory_xact_lock(hashtextextended('sluice dead letters ' || current_schema(), 0));
    /* Locked, so that a drop of it either waits or has been seen. */
    select id into v_dead_letter from queue
     where name = p_patch->>'deadLetter' and kind = 'work' and dropped_at is null for key share;
    if v_dead_letter is null then
      return queue_fault(p_patch->>'deadLetter', 'work');
    end if;
    v_fault := dead_letter_cycle(p_id, v_dead_letter);
    if v_fault is not null then
      return v_fault;
    end if;
  end if;
  update queue set
    levels = coalesce((p_patch->>'levels')::smallint, levels),
    deepest = greatest(deepest, (p_patch->>'levels')::smallint),
    lease = coalesce((p_patch->>'lease')::interval, lease),
    max_attempts = case when p_patch ? 'maxAttempts' then (p_patch->>'maxAttempts')::int else max_attempts end,
    dead_letter = case when p_patch ? 'deadLetter' then v_dead_letter else dead_letter end,
    notify = coalesce(p_patch->>'notify', notify)
  where id = p_id returning * into q;
  if p_patch ? 'levels' then
    update message set priority = q.levels - 1 where queue = q.id and priority >= q.levels;
  end if;
  return null;
end
$$`,
  `create or replace function {schema}.try_update_queue(p_name text, p_patch jsonb) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  q queue;
  v_fault jsonb;
begin
  /* A drop of the dead-letter queue locks that one first and then those that bury there: so does this. */
  if p_patch->>'deadLetter' is not null and isolation_fault() is null then
    perform from queue where name = p_patch->>'deadLetter' and dropped_at is null for key share;
  end if;
  select * into q from queue where name = p_name and dropped_at is null for no key update;
  if q.kind is distinct from 'work' then
    v_fault := queue_fault(p_name, 'work');
  else
    v_fault := set_queue(q.id, p_patch);
  end if;
  return query select v_fault, (select queue_info(n) from queue n where n.id = q.id);
end
$$`,
  `/* Refused while leases are live or other queues bury their dead here, unless forced. existed: whether there was one.
   Messages go in order of id, as settles lock. */
create or replace function {schema}.try_drop_queue(p_name text, p_force boolean, p_keep_archive boolean)
returns table (fault jsonb, existed boolean)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_in_flight int;
  v_buries text[];
begin
  select * into q from queue where name = p_name and dropped_at is null for update;
  if q.id is null then
    return query select null::jsonb, false;
    return;
  elsif q.kind <> 'work' then
    return query select queue_fault(p_name, 'work'), true;
    return;
  end if;
  v_buries := array(select name from queue where dead_letter = q.id and dropped_at is null order by name);
  for v_look in 1 .. 2 loop
    exit when p_force;
    select count(*) into v_in_flight from message where queue = q.id and message_state(lease, vt, clock()) = 'inFlight';
    if v_in_flight > 0 or v_buries <> '{}' then
      return query select jsonb_build_object('code', 'queue_in_use', 'queue', p_name, 'inFlight', v_in_flight, 'deadLetterOf', v_buries), true;
      return;
    end if;
    /* A lease that an open transaction just took shows when that ends: wait for it, then look again. */
    perform id from message where queue = q.id order by id for update;
  end loop;
  update queue set dropped_at = v_now, dead_letter = null where id = q.id;
  update queue set dead_letter = null where dead_letter = q.id;
  /* Also what sends that were open during an earlier drop left behind; older strays are for maintenance. */
  delete from message where queue = any (array(select id from queue where dropped_at > v_now - interval '1 day'));
  delete from floor where storage = q.storage and queue = q.id;
  if not p_keep_archive then
    delete from archive where queue = q.id;
  end if;
  perform drop_counters();
  return query select null::jsonb, true;
end
$$`,
  `/* Drops the counters of queues that were dropped a minute ago or more. Not at once: a producer may stand between its look-up
   of the queue and nextval, and would get an error of the server. One that an open transaction used, or another role owns, is left for next time. */
create or replace function {schema}.drop_counters() returns void
language plpgsql volatile set search_path = {schema}, pg_temp set lock_timeout = '20ms' as $$
declare
  v_counter text;
begin
  for v_counter in
    select 'sent_' || id from queue
     where dropped_at < clock() - interval '1 minute' and to_regclass('sent_' || id) is not null limit 100
  loop
    begin
      execute format('drop sequence if exists %I.%I', current_schema(), v_counter);
    exception when lock_not_available or insufficient_privilege then
      null;
    end;
  end loop;
end
$$`,
  `/* The first option that there is not, of those that the SQL functions were given; the client knows its own. */
create or replace function {schema}.options_fault(p_options jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select case
    when jsonb_typeof(p_options) is distinct from 'object' then argument_fault('options', false)
    else (select argument_fault(key, false) from jsonb_object_keys(p_options) key
           where key not in ('levels', 'lease', 'maxAttempts', 'deadLetter', 'notify') order by key limit 1)
  end
$$`,
  `create or replace function {schema}.create_queue(name text, options jsonb default '{}', out id int, out created boolean)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(options_fault(options));
  perform raise_fault(argument_fault('name', name ~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$'));
  select * into v from try_create_queue(name, options, false);
  perform raise_fault(v.fault);
  id := (v.info->>'id')::int;
  created := v.created;
end
$$`,
  `create or replace function {schema}.update_queue(name text, patch jsonb) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(options_fault(patch));
  select * into v from try_update_queue(name, patch);
  perform raise_fault(v.fault);
  return v.info;
end
$$`,
  `create or replace function {schema}.drop_queue(name text, force boolean default false, keep_archive boolean default false) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_drop_queue(name, coalesce(force, false), coalesce(keep_archive, false));
  perform raise_fault(v.fault);
  return v.existed;
end
$$`,
  `/* Deletes every message of a queue, leased ones too. The archive stays. By the primary key, so that it locks in order of id,
   as settles do: in the table's own order it would deadlock with them. */
create or replace function {schema}.try_purge(p_queue text) returns table (fault jsonb, count int)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_count int;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::int;
    return;
  end if;
  delete from message where queue = q.id;
  get diagnostics v_count = row_count;
  return query select null::jsonb, v_count;
end
$$`,
  `/* 0 of a counter that is dropped in the middle of the statement: metrics of all queues never fail for one of them. */
create or replace function {schema}.last_sent(p_id int) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  return coalesce(pg_sequence_last_value(to_regclass('sent_' || p_id)), 0);
exception when undefined_table or internal_error then
  return 0;
end
$$`,
  `/* Of one queue, or of all where p_queue is null, each by its own range of the primary key. length counts every row. Ages are of enqueued_at, null where empty. */
create or replace function {schema}.try_metrics(p_queue text) returns table (
  fault jsonb, name text, length bigint, visible bigint, in_flight bigint, delayed bigint, parked bigint,
  oldest interval, newest interval, total bigint, scraped_at timestamptz
)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := clock();
begin
  if p_queue is not null and not exists (select from queue where name = p_queue and kind = 'work' and dropped_at is null) then
    return query select queue_fault(p_queue, 'work'), p_queue, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint,
      null::interval, null::interval, 0::bigint, v_now;
    return;
  end if;
  return query
    select null::jsonb, q.name, coalesce(m.length, 0), coalesce(m.visible, 0), coalesce(m.in_flight, 0),
           coalesce(m.delayed, 0), coalesce(m.parked, 0), v_now - m.oldest, v_now - m.newest,
           last_sent(q.id), v_now
      from queue q
      left join lateral (
        select count(*) as length,
               count(*) filter (where s.state = 'visible') as visible,
               count(*) filter (where s.state = 'inFlight') as in_flight,
               count(*) filter (where s.state = 'delayed') as delayed,
               count(*) filter (where s.state = 'parked') as parked,
               min(w.enqueued_at) as oldest, max(w.enqueued_at) as newest
          from message w, lateral (select message_state(w.lease, w.vt, v_now) as state) s
         where w.queue = q.id) m on true
     where q.kind = 'work' and q.dropped_at is null and (p_queue is null or q.name = p_queue)
     order by q.name;
end
$$`,
  `create or replace function {schema}.purge(queue text) returns int
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_purge(queue);
  perform raise_fault(v.fault);
  return v.count;
end
$$`,
  `create or replace function {schema}.metrics(queue text default null) returns table (
  name text, length bigint, visible bigint, in_flight bigint, delayed bigint, parked bigint,
  oldest_age interval, newest_age interval, total bigint, scraped_at timestamptz
)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  v record;
begin
  for v in select * from try_metrics(queue) loop
    perform raise_fault(v.fault);
    return query select v.name, v.length, v.visible, v.in_flight, v.delayed, v.parked, v.oldest, v.newest, v.total, v.scraped_at;
  end loop;
end
$$`,
  `/* Read-only listings, each row one JSON document. Keyset paging: pass the last key of a page to get the next. */
create or replace function {schema}.list_queues(p_prefix text, p_after text, p_limit int) returns setof jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select queue_info(q) from queue q
   where q.dropped_at is null and q.kind = 'work'
     and (p_prefix is null or starts_with(q.name, p_prefix))
     and (p_after is null or q.name > p_after)
   order by q.name limit p_limit
$$`,
  `create or replace function {schema}.count_queues(p_prefix text) returns bigint
language sql stable set search_path = {schema}, pg_temp as $$
  select count(*) from queue q
   where q.dropped_at is null and q.kind = 'work' and (p_prefix is null or starts_with(q.name, p_prefix))
$$`,
  `create or replace function {schema}.try_get_queue(p_name text) returns table (fault jsonb, info jsonb)
language sql stable set search_path = {schema}, pg_temp as $$
  select case when q.id is null then queue_fault(p_name, 'work') end, queue_info(q)
    from (select 1) one left join queue q on q.name = p_name and q.dropped_at is null and q.kind = 'work'
$$`,
  `create or replace function {schema}.message_info(m {schema}.message, p_now timestamptz) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object(
    'id', m.id::text, 'queue', (select name from queue where id = m.queue), 'state', message_state(m.lease, m.vt, p_now),
    'priority', m.priority, 'attempt', m.attempt, 'enqueuedAt', extract(epoch from m.enqueued_at) * 1000,
    'visibleAt', case when m.vt < 'infinity' then extract(epoch from m.vt) * 1000 end,
    'origin', (select name from queue where id = m.origin),
    'headers', coalesce(m.headers, '{}'), 'payload', m.payload, 'errors', coalesce(m.errors, '[]'))
$$`,
  `/* p_id, p_queue and p_state narrow the list where they are not null. Queue by queue, each in the order of the primary key: a
   page costs what it shows, however long the queues are. Only a state is looked for. */
create or replace function {schema}.try_list_messages(p_id bigint, p_queue text, p_state text, p_after bigint, p_limit int)
returns table (fault jsonb, item jsonb)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  v_now timestamptz := clock();
  v_from bigint := coalesce(p_id, p_after + 1, 0);
  v_to bigint := coalesce(p_id, 9223372036854775807);
begin
  if p_queue is not null and not exists (select from queue where name = p_queue and kind = 'work' and dropped_at is null) then
    return query select queue_fault(p_queue, 'work'), null::jsonb;
    return;
  end if;
  return query
    select null::jsonb, message_info(x.m, v_now)
      from queue q,
           lateral (
             select m from message m
              where m.queue = q.id and m.id between v_from and v_to
                and (p_state is null or message_state(m.lease, m.vt, v_now) = p_state)
              order by m.id limit p_limit) x
     where q.dropped_at is null and (p_queue is null or q.name = p_queue)
     order by (x.m).id limit p_limit;
end
$$`,
  `create or replace function {schema}.try_count_messages(p_queue text, p_state text) returns table (fault jsonb, count bigint)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  v_now timestamptz := clock();
begin
  if p_queue is not null and not exists (select from queue where name = p_queue and kind = 'work' and dropped_at is null) then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  return query
    select null::jsonb, coalesce(sum(x.found), 0)::bigint
      from queue q,
           lateral (
             select count(*) as found from message m
              where m.queue = q.id and (p_state is null or message_state(m.lease, m.vt, v_now) = p_state)) x
     where q.dropped_at is null and (p_queue is null or q.name = p_queue);
end
$$`,
  `create or replace function {schema}.archive_info(a {schema}.archive) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object(
    'id', a.id::text, 'queue', (select name from queue where id = a.queue), 'outcome', a.outcome,
    'priority', a.priority, 'attempt', a.attempt, 'enqueuedAt', extract(epoch from a.enqueued_at) * 1000,
    'archivedAt', extract(epoch from a.archived_at) * 1000, 'origin', (select name from queue where id = a.origin),
    'headers', coalesce(a.headers, '{}'), 'payload', a.payload, 'errors', coalesce(a.errors, '[]'))
$$`,
  `/* Also of dropped queues that kept their archive: a name stands for every queue that ever bore it. In the order of an index,
   as above. */
create or replace function {schema}.try_list_archive(p_id bigint, p_queue text, p_outcome text, p_after bigint, p_limit int)
returns table (fault jsonb, item jsonb)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  v_from bigint := coalesce(p_id, p_after + 1, 0);
  v_to bigint := coalesce(p_id, 9223372036854775807);
begin
  if p_queue is null then
    return query
      select null::jsonb, archive_info(a) from archive a
       where a.queue > 0 and a.id between v_from and v_to and (p_outcome is null or a.outcome = p_outcome)
       order by a.id limit p_limit;
    return;
  elsif not exists (select from queue where name = p_queue and kind = 'work') then
    return query select queue_fault(p_queue, 'work'), null::jsonb;
    return;
  end if;
  return query
    select null::jsonb, archive_info(x.a)
      from queue q,
           lateral (
             select a from archive a
              where a.queue = q.id and a.id between v_from and v_to and (p_outcome is null or a.outcome = p_outcome)
              order by a.id limit p_limit) x
     where q.name = p_queue
     order by (x.a).id limit p_limit;
end
$$`,
  `create or replace function {schema}.try_count_archive(p_queue text, p_outcome text) returns table (fault jsonb, count bigint)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
  if p_queue is null then
    return query select null::jsonb, count(*) from archive a where p_outcome is null or a.outcome = p_outcome;
    return;
  elsif not exists (select from queue where name = p_queue and kind = 'work') then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  return query
    select null::jsonb, coalesce(sum(x.found), 0)::bigint
      from queue q,
           lateral (select count(*) as found from archive a where a.queue = q.id and (p_outcome is null or a.outcome = p_outcome)) x
     where q.name = p_queue;
end
$$`,
]
