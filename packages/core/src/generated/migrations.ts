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
  {
    version: 8,
    name: "storages",
    breaking: false,
    statements: [
      `/* Where messages are kept. 0 is the shared one; each other belongs to one queue and has tables of its own, message_s<id>.
   ring: two segments that are flipped; id, time: ranges of width, dropped once they are keep behind. In messages or milliseconds. */
create table {schema}.storage (
  id int primary key generated by default as identity,
  layout text not null check (layout in ('ring', 'id', 'time')),
  unlogged boolean not null,
  width bigint check ((width is null) = (layout = 'ring') and width > 0),
  keep bigint check ((keep is null) = (layout = 'ring') and keep >= 0),
  /* What retention does with messages that nobody has settled. */
  unread text not null default 'keep' check (unread in ('keep', 'drop')),
  own_archive boolean not null default false,
  /* The range by id that was written to when maintenance last looked, and how many are used up from look to look. */
  seen bigint not null default 0,
  pace int not null default 0
)`,
      `insert into {schema}.storage (id, layout, unlogged) values (0, 'ring', false)`,
      `alter table {schema}.queue
  add foreign key (storage) references {schema}.storage,
  add archive_retention interval check (archive_retention > interval '0' and isfinite(archive_retention))`,
      `/* When the sweep last looked for messages below the floor, and how long that took: it may take a twentieth of the time. */
alter table {schema}.floor
  add looked_at timestamptz not null,
  add look interval not null`,
      `/* Where maintenance looks for rows to move out. Nothing is in it while there are partitions ahead. */
create index archive_default_at on {schema}.archive_default (archived_at)`,
      `/* When the last round of maintenance began, in milliseconds. A sequence: the value is hot, and a rollback must not lose it. */
create sequence {schema}.maintained minvalue 0 start 0`,
      `/* Which roles of the cluster were given which part of the functions: an upgrade gives them the new ones too. */
create table {schema}.role (
  kind text not null check (kind in ('producer', 'consumer', 'reader', 'admin')),
  name text not null,
  primary key (kind, name)
)`,
      `/* Of version 7: other arguments or results now. */
do $$ begin
  if to_regprocedure('{schema}.lock_ready({schema}.queue, int, timestamptz)') is not null then
    drop function {schema}.lock_ready({schema}.queue, int, timestamptz);
    drop function {schema}.dead_ahead({schema}.queue, timestamptz);
    drop function {schema}.bury({schema}.queue, bigint[], bigint, timestamptz);
    drop function {schema}.try_read(text, int, interval, boolean);
    drop function {schema}.try_pop(text, int);
    drop function {schema}.read(text, int, interval);
    drop function {schema}.pop(text, int);
  end if;
end $$`,
    ],
  },
  {
    version: 9,
    name: "workers",
    breaking: false,
    statements: [
      `/* backoff: {kind, base, max, jitter}, base and max in milliseconds; null is at once. */
alter table {schema}.queue
  add backoff jsonb default '{"kind": "exponential", "base": 1000, "max": 600000, "jitter": 0.2}',
  add done text not null default 'delete' check (done in ('delete', 'archive')),
  add on_invalid text not null default 'deadLetter' check (on_invalid in ('deadLetter', 'raise')),
  add paused_at timestamptz`,
      `/* That a message is to go which somebody holds. It stays until it is settled, or would be delivered again. */
create table {schema}.cancellation (
  queue int not null,
  id bigint not null,
  at timestamptz not null,
  primary key (queue, id)
)`,
      `/* Who is at work. A row is stamped at every beat, hence room for its next version beside it. */
create table {schema}.worker (
  id bigint generated always as identity primary key,
  name text collate "C" not null unique,
  hostname text,
  port int,
  queues text[] not null,
  /* What it was told to do, or that it has stopped. */
  state text not null default 'running' check (state in ('running', 'suspended', 'stopping', 'stopped')),
  started_at timestamptz not null,
  beat_at timestamptz not null,
  /* From one beat to the next. */
  every interval not null,
  /* Messages that it held at its last beat. */
  held int not null default 0
) with (fillfactor = 50)`,
      `/* Of the shared archive, and of those that queues have of their own. */
do $$
declare
  v_table text;
begin
  for v_table in select 'archive' union all select 'archive_s' || id from {schema}.storage where own_archive loop
    execute format('alter table {schema}.%I drop constraint archive_outcome_check, add constraint archive_outcome_check check (outcome in (''done'', ''dead'', ''cancelled''))', v_table);
    /* For redrive: few are dead among many that are done. */
    execute format('create index if not exists %I on {schema}.%I (queue, id) where outcome = ''dead''', v_table || '_dead', v_table);
  end loop;
end $$`,
      `/* Of version 8: others took their place. */
do $$ declare
  v_function regprocedure;
begin
  for v_function in
    select oid from pg_proc where pronamespace = '{schema}'::regnamespace and proname ~ '^(try_release|try_retry)(_s[0-9]+)?$'
  loop
    execute 'drop function ' || v_function;
  end loop;
end $$`,
    ],
  },
  {
    version: 10,
    name: "schedules",
    breaking: false,
    statements: [
      `/* What sends a message again and again. next_at is the run that is planned: null while paused, and when there is none left.
   wake_at is when to look: then, or later after a failure and while runs are being caught up with, so that no schedule stands in the way of another. */
create table {schema}.schedule (
  name text collate "C" primary key check (name ~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$'),
  queue int not null references {schema}.queue,
  cron text,
  timezone text check ((timezone is null) = (cron is null)),
  /* Milliseconds. */
  every bigint check (every > 0 and cron is null or every is null and cron is not null),
  /* Where an interval counts from. */
  anchor timestamptz not null,
  starts_at timestamptz,
  ends_at timestamptz,
  missed text not null check (missed in ('skip', 'once', 'all')),
  priority smallint,
  headers jsonb,
  payload jsonb not null,
  paused boolean not null default false,
  created_at timestamptz not null,
  next_at timestamptz,
  wake_at timestamptz check ((wake_at is null) = (next_at is null)),
  /* The last time that a run was due for and sent. */
  last_at timestamptz,
  error text,
  failed_at timestamptz
)`,
      `create index schedule_wake on {schema}.schedule (wake_at)`,
      `create index schedule_queue on {schema}.schedule (queue)`,
    ],
  },
  {
    version: 11,
    name: "once",
    breaking: false,
    statements: [
      `/* What was done once. A key commits with the effects of its work, and whoever brings it again waits for that. */
create table {schema}.once (
  key text collate "C" primary key check (length(key) between 1 and 500),
  at timestamptz not null,
  keep_until timestamptz not null,
  /* What the work returned; null is nothing. */
  result jsonb
)`,
      `create index once_keep_until on {schema}.once (keep_until)`,
      `/* Who this installation is, for the keys that messages show to services outside. A restored backup goes on as itself. */
create table {schema}.installation (
  only_one boolean primary key default true check (only_one),
  id text not null default right(replace(gen_random_uuid()::text, '-', ''), 16)
)`,
      `insert into {schema}.installation default values`,
      `/* Since when it is asked to stop; null again at its next start. */
alter table {schema}.worker add shutdown_at timestamptz`,
    ],
  },
  {
    version: 12,
    name: "send_options",
    breaking: false,
    statements: [
      `/* grp: the hash of group_name; 0 of a message without one in a queue whose claims go round its groups; null everywhere else, so
   that the indexes of groups cost nothing there. isfinite says what the claim index says by other words: neither can stand in for the other. */
do $$
declare
  v_suffix text;
begin
  for v_suffix in
    select '' union all select '_s' || id from {schema}.storage where id <> 0 and to_regclass('{schema}.message_s' || id) is not null
  loop
    execute format('alter table {schema}.%I add grp bigint, add group_name text, add key text, add expire_at timestamptz', 'message' || v_suffix);
    execute format('create index %I on {schema}.%I (queue, grp, id) where grp is not null', 'message' || v_suffix || '_group_order', 'message' || v_suffix);
    execute format('create index %I on {schema}.%I (queue, grp, priority, vt, id) where grp is not null and isfinite(vt)', 'message' || v_suffix || '_group_ready', 'message' || v_suffix);
    execute format('create index %I on {schema}.%I (queue, grp) where grp is not null and lease is not null', 'message' || v_suffix || '_group_held', 'message' || v_suffix);
  end loop;
  for v_suffix in select '' union all select '_s' || id from {schema}.storage where own_archive loop
    execute format('alter table {schema}.%I add group_name text, add key text, drop constraint archive_outcome_check,
      add constraint archive_outcome_check check (outcome in (''done'', ''dead'', ''cancelled'', ''expired''))', 'archive' || v_suffix);
  end loop;
end $$`,
      `/* ungrouped: the grp of messages without a group; null where claims do not go round groups. Rates: {limit, per}, per in milliseconds. */
alter table {schema}.queue
  add fifo boolean not null default false,
  add fair boolean not null default false,
  add concurrency int check (concurrency > 0),
  add group_concurrency int check (group_concurrency > 0),
  add rate jsonb,
  add group_rate jsonb,
  add ungrouped bigint check (ungrouped = 0),
  add grouped_at timestamptz`,
      `/* Which message has a key. It holds until the time, and as long as the message is in its queue: nobody needs to free it. */
create table {schema}.unique_key (
  queue int not null,
  key text collate "C" not null,
  id bigint not null,
  until timestamptz not null,
  /* Only until a reader got the message. */
  to_start boolean not null,
  primary key (queue, key)
)`,
      `create index unique_key_until on {schema}.unique_key (until) where until < 'infinity'`,
      `/* The child is parked until all its parents have left their queues. */
create table {schema}.dependency (
  queue int not null,
  parent bigint not null,
  child_queue int not null,
  child bigint not null,
  /* What becomes of the child when the parent ends otherwise than by done. */
  if_failed text not null check (if_failed in ('cancel', 'run', 'wait')),
  /* When the child is ready if nothing holds it back. */
  at timestamptz not null,
  /* The parent ended so, and the child waits on: for its redrive. */
  failed boolean not null default false,
  primary key (queue, parent, child)
)`,
      `create index dependency_child on {schema}.dependency (child)`,
      `/* How many messages were delivered lately, by the starts of hundredths of the interval of a rate; of the queue as a whole under group -1. */
create table {schema}.rate_use (
  queue int not null,
  grp bigint not null,
  slice timestamptz not null,
  used int not null,
  primary key (queue, grp, slice)
)`,
    ],
  },
  {
    version: 13,
    name: "results",
    breaking: false,
    statements: [
      `/* How long what became of a queue's messages is kept for who waits for it; null is not at all. */
alter table {schema}.queue add result_retention interval check (result_retention > interval '0' and isfinite(result_retention))`,
      `create table {schema}.result (
  id bigint primary key,
  queue int not null,
  outcome text not null check (outcome in ('done', 'dead', 'cancelled', 'expired')),
  value jsonb,
  error jsonb,
  at timestamptz not null,
  until timestamptz not null
)`,
      `create index result_until on {schema}.result (until)`,
      `create table {schema}.progress (
  id bigint primary key,
  value float8 not null,
  note text,
  at timestamptz not null
) with (fillfactor = 50)`,
    ],
  },
  {
    version: 14,
    name: "streams",
    breaking: false,
    statements: [
      `/* What a stream has beside its name, which is a row of queue. */
create table {schema}.stream (
  id int primary key references {schema}.queue,
  rotation_period interval not null default '2 hours' check (rotation_period > interval '0' and isfinite(rotation_period)),
  retention interval not null default '0' check (retention >= interval '0' and isfinite(retention)),
  ticker_max_count int not null default 500 check (ticker_max_count > 0),
  ticker_max_lag interval not null default '3 seconds' check (ticker_max_lag > interval '0' and isfinite(ticker_max_lag)),
  ticker_idle_period interval not null default '1 minute' check (ticker_idle_period > interval '0' and isfinite(ticker_idle_period)),
  ticker_paused boolean not null default false,
  external_ticker boolean not null default false,
  closed boolean not null default false,
  per_transaction int check (per_transaction >= 0),
  /* {age, events, bytes}: how far a subscription may lag behind; age in milliseconds. */
  lag_limit jsonb default '{"age": 86400000, "bytes": null, "events": null}',
  when_stuck text not null default 'block' check (when_stuck in ('block', 'expire'))
)`,
      `/* Unique in the installation. An event is named by its stream and its id. */
create sequence {schema}.event_id`,
      `/* Which segment of a stream takes new events. Insert-only, the newest generation counts. */
create table {schema}.stream_segment (
  stream int not null,
  generation bigint not null,
  current smallint not null,
  at timestamptz not null,
  sent bigint not null,
  primary key (stream, generation)
)`,
      `/* Shared marks in a stream: who lags behind makes his batches between them. Insert-only. */
create table {schema}.tick (
  stream int not null,
  id bigint not null,
  seen int8multirange not null,
  at timestamptz not null,
  sent bigint not null,
  primary key (stream, id)
)`,
      `create index tick_sent on {schema}.tick (stream, sent, id)`,
      `create table {schema}.subscription (
  id int generated always as identity primary key,
  stream int not null references {schema}.queue,
  name text collate "C" not null check (name ~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$'),
  created_at timestamptz not null,
  lease interval not null default '30 seconds' check (lease > interval '0' and isfinite(lease)),
  max_attempts int default 20 check (max_attempts > 0),
  backoff jsonb default '{"kind": "exponential", "base": 1000, "max": 600000, "jitter": 0.2}',
  lag_limit jsonb,
  when_stuck text check (when_stuck in ('block', 'expire')),
  stuck_at timestamptz,
  expired_at timestamptz,
  unique (stream, name)
)`,
      `create sequence {schema}.batch_id`,
      `/* Batches that were handed out, and where a subscription stands: insert-only, the newest row counts.
   base and seen are positions, sets of transactions: seen tells up to where everything was handed out, but for the slices
   from rest on of the window rest_root. What the batch holds: the events of the transactions txids with an id from from_id to
   to_id, or retried ones. open: the batches before it that had not ended. A row without lease is a position only. */
create table {schema}.batch (
  subscription int not null,
  id bigint not null default nextval('{schema}.batch_id'),
  at timestamptz not null,
  seen int8multirange not null,
  tick bigint not null,
  sent bigint not null,
  rest int,
  rest_root bigint,
  open bigint[] not null,
  base int8multirange not null,
  root bigint,
  slice int,
  txids int8multirange,
  from_id bigint,
  to_id bigint,
  retried bigint[],
  events int not null,
  lease bigint,
  owner text,
  shared boolean not null default false,
  until timestamptz,
  attempt int not null default 0,
  primary key (subscription, id)
)`,
      `/* The lease of a batch that was renewed, or given back, which its own row does not tell: who finishes one under an older
   snapshot must not meet an update. Without owner it was given back, and its attempt is not charged. */
create table {schema}.batch_lease (
  subscription int not null,
  batch bigint not null,
  until timestamptz not null,
  owner text,
  primary key (subscription, batch)
) with (fillfactor = 50)`,
      `/* Parts of a window that has more events than one batch may hold. */
create table {schema}.slice (
  subscription int not null,
  root bigint not null,
  number int not null,
  base int8multirange not null,
  txids int8multirange not null,
  from_id bigint not null,
  to_id bigint not null,
  events int not null,
  primary key (subscription, root, number)
)`,
      `/* How a batch ended: of two who end it one is first. */
create table {schema}.batch_end (
  subscription int not null,
  batch bigint not null,
  outcome text not null check (outcome in ('finished', 'taken', 'dropped')),
  at timestamptz not null,
  events int not null,
  primary key (subscription, batch)
)`,
      `/* Events that one subscription gets once more when they are due, and dead ones, which are due never. */
create table {schema}.event_retry (
  id bigint generated always as identity primary key,
  subscription int not null,
  due timestamptz not null,
  attempt int not null,
  alone boolean not null default false,
  died_at timestamptz,
  errors jsonb,
  event bigint not null,
  txid bigint not null,
  at timestamptz not null,
  type text not null,
  key text,
  data jsonb,
  headers jsonb,
  extra1 text,
  extra2 text,
  extra3 text,
  extra4 text
)`,
      `create index event_retry_due on {schema}.event_retry (subscription, due, id)`,
      `/* Whose transaction ids are stored here: after a restore into another cluster they mean nothing. */
alter table {schema}.installation add cluster text`,
      `update {schema}.installation set cluster = (select system_identifier::text from pg_control_system())`,
    ],
  },
  {
    version: 15,
    name: "forward",
    breaking: false,
    statements: [
      `/* How far a forwarder has come with copying a subscription of another stream, perhaps of another cluster: the last batch that it copied, and what
   that was. Written in the transaction that has the copies. subscriptions: what the others of that stream had not done with. */
create table {schema}.forward_position (
  source text primary key,
  batch bigint not null,
  place text not null,
  at timestamptz not null,
  subscriptions jsonb not null
) with (fillfactor = 50)`,
      `/* Streams that have copies. */
create table {schema}.forward_stream (
  source text not null,
  stream int not null references {schema}.queue,
  primary key (source, stream)
)`,
      `/* Copied batches that some subscription of the source has not done with, or so it was when the forwarder last told: their copies stay until then, or until the stream is
   promoted. batch, txids and ids are the source's; txid has the copies. */
create table {schema}.forward_batch (
  source text not null,
  batch bigint not null,
  txid bigint not null,
  txids int8multirange not null,
  from_id bigint not null,
  to_id bigint not null,
  primary key (source, batch)
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
    jsonb_build_object('code', case p_kind when 'stream' then 'stream_not_found' else 'queue_not_found' end, 'queue', p_queue))
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
      when 'stream_not_found' then format('There is no stream "%s".', p_fault->>'queue')
      when 'subscription_not_found' then format('"%s" has no subscription "%s".', p_fault->>'stream', p_fault->>'subscription')
      when 'stale_batch' then format('Batch %s of "%s" has ended, or is held by another by now.', p_fault->>'batch', p_fault->>'subscription')
      when 'subscription_expired' then format('The subscription "%s" of "%s" lagged behind too far and has expired.', p_fault->>'subscription', p_fault->>'stream')
      when 'other_cluster' then 'This was restored into another cluster: call after_restore().'
      when 'stream_closed' then format('The stream "%s" is closed.', p_fault->>'stream')
      when 'transaction_limit' then format('A transaction may publish %s event(s) to "%s".', p_fault->>'limit', p_fault->>'stream')
      when 'stream_in_use' then format('The stream "%s" is in use by the subscriptions %s and the captured tables %s.', p_fault->>'stream', p_fault->>'subscriptions', p_fault->>'tables')
      when 'tick_not_found' then format('"%s" has no tick %s.', p_fault->>'stream', p_fault->>'tick')
      when 'wrong_kind' then format('"%s" is of kind %s, not %s.', p_fault->>'queue', p_fault->>'actual', p_fault->>'expected')
      when 'stale_lease' then format('Message %s of "%s" is no longer held under this lease.', p_fault->>'id', p_fault->>'queue')
      when 'worker_not_found' then format('There is no worker "%s".', p_fault->>'worker')
      when 'worker_state' then format('The worker "%s" is %s, and cannot be %s.', p_fault->>'worker', p_fault->>'from', p_fault->>'to')
      when 'isolation' then format('This needs READ COMMITTED and met %s.', p_fault->>'actual')
      when 'invalid_argument' then format('%s cannot be meant.', p_fault->>'argument')
      when 'nothing_died' then format('Nothing died in "%s": others bury their dead there. Name the queue that they died in, of %s.', p_fault->>'queue', p_fault->>'deadLetterOf')
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
      when 'storage_fixed' then 'SL010'
      when 'worker_not_found' then 'SL011'
      when 'worker_state' then 'SL012'
      when 'stream_not_found' then 'SL013'
      when 'subscription_not_found' then 'SL014'
      when 'stale_batch' then 'SL015'
      when 'subscription_expired' then 'SL016'
      when 'other_cluster' then 'SL017'
      when 'stream_closed' then 'SL018'
      when 'transaction_limit' then 'SL019'
      when 'stream_in_use' then 'SL020'
      when 'tick_not_found' then 'SL021'
      when 'ticker' then 'SL021'
      when 'invalid_argument' then '22023'
      when 'nothing_died' then '22023'
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
  `/* A name in this schema and in no other, for dynamic SQL. Without the schema, what is not there would be looked for among the
   temporary tables of the caller, and their triggers, policies and views would run as the owner of the schema. */
create or replace function {schema}.own(p_name text) returns text
language sql stable as $$ select format('%I.%I', current_schema(), p_name) $$`,
  `create or replace function {schema}.own_schema() returns oid
language sql stable as $$ select oid from pg_namespace where nspname = current_schema() $$`,
  `/* Null where there is no such table or sequence. */
create or replace function {schema}.own_relation(p_name text) returns regclass
language sql stable as $$ select case when p_name is not null then to_regclass(format('%I.%I', current_schema(), p_name)) end $$`,
  `/* The tables of a storage. */
create or replace function {schema}.message_table(p_storage int) returns text
language sql immutable as $$ select case p_storage when 0 then 'message' else 'message_s' || p_storage end $$`,
  `/* Where the one visited segment is, or the parent while there are two. */
create or replace function {schema}.message_leaf(p_storage int, p_live smallint[]) returns text
language sql immutable set search_path = {schema}, pg_temp as $$
  select message_table(p_storage) || case when cardinality(p_live) = 1 then '_' || p_live[1] else '' end
$$`,
  `create or replace function {schema}.archive_table(p_storage int) returns text
language sql stable set search_path = {schema}, pg_temp as $$
  select case when s.own_archive then 'archive_s' || s.id else 'archive' end from storage s where s.id = p_storage
$$`,
  `/* The first half of the advisory locks of this installation, one number for each purpose. */
create or replace function {schema}.lock_space(p_purpose text) returns int
language sql immutable set search_path = {schema}, pg_temp as $$ select hashtext('sluice ' || p_purpose || ' ' || current_schema()) $$`,
  `/* Keeps the tables of a dedicated storage from being dropped while the transaction lives. False where they are gone already:
   the look-up of the queue was overtaken by a drop. The size is asked since a name alone may be answered from what this
   session remembers: nobody tells it of the drop before it locks something. */
create or replace function {schema}.hold_storage(q {schema}.queue) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  if q.storage = 0 then
    return true;
  end if;
  perform pg_advisory_xact_lock_shared(lock_space('storage'), q.storage);
  return pg_relation_size(own_relation(message_table(q.storage))) is not null;
end
$$`,
  `/* The same for who looks at many queues, and rather passes one than waits for the end of a drop. */
create or replace function {schema}.hold_if_free(q {schema}.queue) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  return q.storage = 0
      or pg_try_advisory_xact_lock_shared(lock_space('storage'), q.storage) and pg_relation_size(own_relation(message_table(q.storage))) is not null;
end
$$`,
  `/* Whether the planner always searches an index by an array that stands for a later column, as it does since 17. */
create or replace function {schema}.searches_arrays() returns boolean
language sql stable as $$ select current_setting('server_version_num')::int >= 170000 $$`,
  `/* Whether a message that was not found may have been moved meanwhile: a flip began since p_generation, or is still going on.
   An older snapshot sees a segment empty that was truncated since, and not the messages that had been moved out of it: its
   transaction cannot tell a stale lease from one that holds. */
create or replace function {schema}.flipping(p_storage int, p_generation bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  s segment;
  v_table text := message_table(p_storage);
begin
  if isolation_fault() is not null and exists (
    select from pg_class c where c.oid in (own_relation(v_table || '_0'), own_relation(v_table || '_1')) and c.relfilenode <> pg_relation_filenode(c.oid))
  then
    raise serialization_failure using message = 'could not serialize access: messages were moved since the snapshot of this transaction';
  end if;
  select * into s from segment where storage = p_storage order by generation desc limit 1;
  return cardinality(s.live) > 1 or coalesce(s.generation <> p_generation, false);
end
$$`,
  `/* Pages of messages that this session looked at lately, as a count that only its difference means something of: what dead rows
   cost shows here, whatever the machine does. */
create or replace function {schema}.blocks_fetched(p_storage int) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  if p_storage = 0 then
    return pg_stat_get_xact_blocks_fetched('message_0'::regclass) + pg_stat_get_xact_blocks_fetched('message_1'::regclass);
  end if;
  if own_relation(message_table(p_storage) || '_1') is not null then
    return pg_stat_get_xact_blocks_fetched(own_relation(message_table(p_storage) || '_0')) + pg_stat_get_xact_blocks_fetched(own_relation(message_table(p_storage) || '_1'));
  end if;
  return (select sum(pg_stat_get_xact_blocks_fetched(relid)) from pg_partition_tree(own_relation(message_table(p_storage))) where isleaf);
end
$$`,
  `/* A number of messages, or milliseconds of an interval as text; null where it is neither. */
create or replace function {schema}.partition_measure(p_layout text, p_value jsonb) returns bigint
language plpgsql immutable as $$
begin
  return case
    when p_layout = 'id' and jsonb_typeof(p_value) = 'number' then (p_value #>> '{}')::bigint
    when p_layout = 'time' and jsonb_typeof(p_value) = 'string' then (extract(epoch from (p_value #>> '{}')::interval) * 1000)::bigint end;
exception when data_exception or feature_not_supported then
  return null; /* 1.5, a word, more than there can be, infinity */
end
$$`,
  `/* The storage that options ask for; null where the shared one will do. Widths and what is kept count messages, or milliseconds. */
create or replace function {schema}.storage_wanted(p_options jsonb) returns {schema}.storage
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  p jsonb := nullif(p_options->'partition', 'null');
  s storage;
begin
  if p is null and coalesce(p_options->>'storage', 'shared') = 'shared' then
    return null;
  end if;
  s.layout := coalesce(p->>'by', 'ring');
  s.unlogged := coalesce(p_options->>'storage' = 'unlogged', false);
  s.width := partition_measure(s.layout, p->'interval');
  s.keep := partition_measure(s.layout, p->'retention');
  s.unread := coalesce(p->>'unread', 'keep');
  s.own_archive := coalesce((p->>'archive')::boolean, false);
  return s;
end
$$`,
  `/* As options are written: storage and partition. */
create or replace function {schema}.storage_info(s {schema}.storage) returns jsonb
language sql immutable as $$
  select jsonb_build_object(
    'storage', case when s.layout is null or s.id = 0 then 'shared' when s.unlogged then 'unlogged' else 'dedicated' end,
    'partition', case when s.layout in ('id', 'time') then jsonb_build_object(
      'by', s.layout, 'interval', s.width, 'retention', s.keep, 'unread', s.unread, 'archive', s.own_archive) end)
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
  v_counter regclass := own_relation('sent_' || q.id);
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
  if q.kind is distinct from 'work' or q.storage <> 0 and not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  if q.storage <> 0 then
    return query execute format('select * from %I($1, $2, $3, $4, $5, $6)', 'try_send_s' || q.storage)
      using p_queue, p_payload, p_headers, p_delay, p_at, p_priority;
    return;
  end if;
  v_priority := coalesce(p_priority, least(1, q.levels - 1));
  if v_priority < 0 or v_priority >= q.levels then
    return query select priority_fault(q, v_priority, null), null::bigint;
    return;
  end if;
  select current into v_segment from segment where storage = q.storage order by generation desc limit 1;
  return query
    insert into message (segment, queue, priority, vt, enqueued_at, headers, payload, grp)
    values (v_segment, q.id, v_priority, greatest(v_now, p_at, v_now + p_delay), v_now, p_headers, coalesce(p_payload, 'null'), q.ungrouped)
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
  if q.kind is distinct from 'work' or q.storage <> 0 and not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  if q.storage <> 0 then
    return query execute format('select * from %I($1, $2, $3, $4, $5, $6, $7)', 'try_send_batch_s' || q.storage)
      using p_queue, p_payloads, p_options, p_headers, p_delay, p_at, p_priority;
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
    insert into message (segment, queue, priority, vt, enqueued_at, headers, payload, grp)
    select v_segment, q.id, coalesce((e.o->>'priority')::int, v_priority),
           case when e.o ? 'at' then greatest(v_now, to_timestamp((e.o->>'at')::float8 / 1000))
                when e.o ? 'delay' then v_now + (e.o->>'delay')::float8 * interval '1 millisecond'
                else greatest(v_now, p_at, v_now + p_delay) end,
           v_now, coalesce(e.o->'headers', p_headers), e.payload, q.ungrouped
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
   the plan: whoever updates or deletes them has only the primary key left as a path, whatever the statistics say. A floor
   counts while somebody looks below it: one that nobody attended for 10 seconds is as good as none. */
create or replace function {schema}.lock_ready(q {schema}.queue, p_live smallint[], p_limit int, p_now timestamptz, p_filter jsonb) returns bigint[]
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
  v_headers jsonb := p_filter->'headers';
  v_payload jsonb := p_filter->'payload';
begin
  if p_live = '{0}' then
    return array(
      select r.id
        from generate_series(0, q.deepest - 1) l(level),
             lateral (
               select m.id from message_0 m
                where m.queue = q.id and m.priority = l.level
                  and m.vt < 'infinity' and m.vt <= p_now
                  and m.vt >= coalesce((select case when f.swept_at between p_now - interval '10 seconds' and p_now + interval '10 seconds' then f.vt end from floor f
                                         where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                                         order by f.version desc limit 1), '-infinity')
                  and (v_headers is null or coalesce(m.headers, '{}') @> v_headers) and (v_payload is null or m.payload @> v_payload)
                order by m.vt, m.id limit p_limit for update skip locked) r
       limit p_limit);
  elsif p_live = '{1}' then
    return array(
      select r.id
        from generate_series(0, q.deepest - 1) l(level),
             lateral (
               select m.id from message_1 m
                where m.queue = q.id and m.priority = l.level
                  and m.vt < 'infinity' and m.vt <= p_now
                  and m.vt >= coalesce((select case when f.swept_at between p_now - interval '10 seconds' and p_now + interval '10 seconds' then f.vt end from floor f
                                         where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                                         order by f.version desc limit 1), '-infinity')
                  and (v_headers is null or coalesce(m.headers, '{}') @> v_headers) and (v_payload is null or m.payload @> v_payload)
                order by m.vt, m.id limit p_limit for update skip locked) r
       limit p_limit);
  else
    return array(
      select r.id
        from generate_series(0, q.deepest - 1) l(level),
             lateral (
               select m.id from message m
                where m.queue = q.id and m.priority = l.level
                  and m.vt < 'infinity' and m.vt <= p_now
                  and m.vt >= coalesce((select case when f.swept_at between p_now - interval '10 seconds' and p_now + interval '10 seconds' then f.vt end from floor f
                                         where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                                         order by f.version desc limit 1), '-infinity')
                  and (v_headers is null or coalesce(m.headers, '{}') @> v_headers) and (v_payload is null or m.payload @> v_payload)
                order by m.vt, m.id limit p_limit for update skip locked) r
       limit p_limit);
  end if;
end
$$`,
  `/* Those at their limit of attempts, or whose time is over, among the next 1000 ready messages of each level, locked. Met one by one, each would cost
   a scan over all that were buried before it. Looks before it locks: what is alive stays free for other readers. */
create or replace function {schema}.dead_ahead(q {schema}.queue, p_live smallint[], p_now timestamptz) returns bigint[]
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
  v_ids bigint[];
begin
  if p_live = '{0}' then
    v_ids := array(
      select r.id
        from generate_series(0, q.deepest - 1) l(level),
             lateral (
               select m.id, m.attempt, m.expire_at from message_0 m
                where m.queue = q.id and m.priority = l.level
                  and m.vt < 'infinity' and m.vt <= p_now
                  and m.vt >= coalesce((select case when f.swept_at between p_now - interval '10 seconds' and p_now + interval '10 seconds' then f.vt end from floor f
                                         where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                                         order by f.version desc limit 1), '-infinity')
                order by m.vt, m.id limit 1000) r
       where r.attempt >= q.max_attempts or r.expire_at <= p_now);
    v_ids := array(
      select r.id
        from unnest(v_ids) e(id),
             lateral (
               select m.id from message_0 m
                where m.queue = q.id and m.id = e.id and (m.attempt >= q.max_attempts or m.expire_at <= p_now) and m.vt <= p_now
                  for update skip locked) r);
  elsif p_live = '{1}' then
    v_ids := array(
      select r.id
        from generate_series(0, q.deepest - 1) l(level),
             lateral (
               select m.id, m.attempt, m.expire_at from message_1 m
                where m.queue = q.id and m.priority = l.level
                  and m.vt < 'infinity' and m.vt <= p_now
                  and m.vt >= coalesce((select case when f.swept_at between p_now - interval '10 seconds' and p_now + interval '10 seconds' then f.vt end from floor f
                                         where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                                         order by f.version desc limit 1), '-infinity')
                order by m.vt, m.id limit 1000) r
       where r.attempt >= q.max_attempts or r.expire_at <= p_now);
    v_ids := array(
      select r.id
        from unnest(v_ids) e(id),
             lateral (
               select m.id from message_1 m
                where m.queue = q.id and m.id = e.id and (m.attempt >= q.max_attempts or m.expire_at <= p_now) and m.vt <= p_now
                  for update skip locked) r);
  else
    v_ids := array(
      select r.id
        from generate_series(0, q.deepest - 1) l(level),
             lateral (
               select m.id, m.attempt, m.expire_at from message m
                where m.queue = q.id and m.priority = l.level
                  and m.vt < 'infinity' and m.vt <= p_now
                  and m.vt >= coalesce((select case when f.swept_at between p_now - interval '10 seconds' and p_now + interval '10 seconds' then f.vt end from floor f
                                         where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                                         order by f.version desc limit 1), '-infinity')
                order by m.vt, m.id limit 1000) r
       where r.attempt >= q.max_attempts or r.expire_at <= p_now);
    v_ids := array(
      select r.id
        from unnest(v_ids) e(id),
             lateral (
               select m.id from message m
                where m.queue = q.id and m.id = e.id and (m.attempt >= q.max_attempts or m.expire_at <= p_now) and m.vt <= p_now
                  for update skip locked) r);
  end if;
  return without_cancelled(q, p_live, v_ids, p_now);
end
$$`,
  `/* Those of p_ids that used up their attempts leave for the dead-letter queue, or the archive where there is none; never
   those that carry p_spare, the lease of the claim that is just being made. Dynamic: it may lead from any storage to any other. */
create or replace function {schema}.bury(q {schema}.queue, p_live smallint[], p_ids bigint[], p_spare bigint, p_now timestamptz) returns int
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  d queue;
  v_count int;
  v_gone bigint[];
  v_errors jsonb[];
  v_which text := format('%I m where m.queue = $1 and m.id = any ($2) and m.attempt >= $3 and ($4 is null or m.lease is distinct from $4)', message_leaf(q.storage, p_live));
  v_delete text := format('delete from %s returning m.*', v_which);
begin
  if q.result_retention is not null then
    execute format('select array_agg(m.id), array_agg(m.errors->-1) from %s', v_which) into v_gone, v_errors using q.id, p_ids, q.max_attempts, p_spare;
    perform keep_results(q, v_gone, 'dead', null, v_errors, p_now);
  end if;
  select * into d from queue where id = q.dead_letter and dropped_at is null;
  if d.id is null or not hold_storage(d) then
    execute format('with gone as (%s)
      insert into %I (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key)
      select queue, id, $5, ''dead'', priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key from gone',
      v_delete, archive_table(q.storage)) using q.id, p_ids, q.max_attempts, p_spare, p_now;
    get diagnostics v_count = row_count;
    perform left_queue(q, p_ids, false);
    return v_count;
  end if;
  execute format('with gone as (%s)
    insert into %I (segment, queue, id, priority, vt, enqueued_at, origin, headers, payload, errors, grp, group_name, key)
    select (select current from segment where storage = $6 order by generation desc limit 1),
           $7, id, least(priority, $8 - 1), $5, enqueued_at, $1, headers, payload, errors, group_of($9, group_name), group_name, key from gone',
    v_delete, message_table(d.storage)) using q.id, p_ids, q.max_attempts, p_spare, p_now, d.storage, d.id, d.levels, d.ungrouped;
  get diagnostics v_count = row_count;
  perform left_queue(q, p_ids, false);
  perform count_sent(d, v_count);
  return v_count;
end
$$`,
  `/* For every way in which messages leave a queue, after they did. Looked up at the end, by a statement of its own: it sees who began to
   wait for them until now. */
create or replace function {schema}.left_queue(q {schema}.queue, p_ids bigint[], p_done boolean) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
begin
  if p_ids is null or exists (select from unnest(p_ids) w(id), lateral (select d.parent from dependency d where d.queue = q.id and d.parent = w.id limit 1) d) then
    perform release_dependants(q, p_ids, p_done);
  end if;
end
$$`,
  `/* Messages that will not be delivered any more: for the archive where the queue keeps what is done. Their rows are locked by this
   transaction. */
create or replace function {schema}.discard(q {schema}.queue, p_live smallint[], p_ids bigint[], p_outcome text, p_now timestamptz) returns int
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_count int := discard_rows(q, p_live, p_ids, p_outcome, p_now);
begin
  perform left_queue(q, p_ids, false);
  return v_count;
end
$$`,
  `create or replace function {schema}.discard_rows(q {schema}.queue, p_live smallint[], p_ids bigint[], p_outcome text, p_now timestamptz) returns int
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  v_count int;
  v_delete text := format('delete from %I m where m.queue = $1 and m.id = any ($2)', message_leaf(q.storage, p_live));
begin
  if q.done = 'archive' then
    execute format('with gone as (%s returning m.*)
      insert into %I (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key)
      select queue, id, $3, $4, priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key from gone',
      v_delete, archive_table(q.storage)) using q.id, p_ids, p_now, p_outcome;
  else
    execute v_delete using q.id, p_ids;
  end if;
  get diagnostics v_count = row_count;
  delete from cancellation where queue = q.id and id = any (p_ids);
  if q.result_retention is not null then
    perform keep_results(q, p_ids, p_outcome, null, null, p_now);
  end if;
  delete from dependency where child = any (p_ids);
  return v_count;
end
$$`,
  `/* Those that a claim has locked and whose time is over. */
create or replace function {schema}.discard_expired(q {schema}.queue, p_live smallint[], p_ids bigint[], p_now timestamptz) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_ids bigint[];
begin
  execute format('select array(select m.id from %I m where m.queue = $1 and m.id = any ($2) and m.expire_at <= $3 order by m.id)', message_leaf(q.storage, p_live))
     into v_ids using q.id, p_ids, p_now;
  return case when v_ids = '{}' then 0 else discard(q, p_live, v_ids, 'expired', p_now) end;
end
$$`,
  `/* For a claim: discards those of p_ids that were cancelled while somebody held them, and returns the others, in order. With them go
   1000 others that were: met one by one, many would keep the claim busy until it ran into a timeout. */
create or replace function {schema}.without_cancelled(q {schema}.queue, p_live smallint[], p_ids bigint[], p_now timestamptz) returns bigint[]
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_gone bigint[] := array(select c.id from cancellation c where c.queue = q.id and c.id = any (p_ids));
  v_more bigint[];
begin
  if v_gone <> '{}' then
    execute format('select array(select r.id from (select c.id from cancellation c where c.queue = $1 and c.id <> all ($2) order by c.id limit 1000) n,
      lateral (select m.id from %I m where m.queue = $1 and m.id = n.id and m.vt <= $3 for update skip locked) r)', message_leaf(q.storage, p_live))
      into v_more using q.id, v_gone, p_now;
    perform discard(q, p_live, v_gone || v_more, 'cancelled', p_now);
  end if;
  return array(select u.id from unnest(p_ids) with ordinality u(id, n) where u.id <> all (v_gone) order by u.n);
end
$$`,
  `/* 63 random bits. Not from random(), which a session may have seeded. */
create or replace function {schema}.new_lease() returns bigint
language sql volatile as 'select uuid_hash_extended(gen_random_uuid(), 0) & 9223372036854775807'`,
  `/* Leases up to p_limit ready messages; an UPDATE returns rows in no order, so each carries its place. One random lease for the claim: rollback, crash or restore can never repeat it.
   A message at its limit of attempts is buried instead of delivered; 10,000 of them end the claim, so that a crowd of dead
   ones is cleared by several claims where one would run into a timeout again and again. p_own: nobody else's transaction, so
   the commit need not wait for the disk (a claim that is lost in a crash is delivered again, and the settle that follows
   flushes it), and the claim may sweep where it finds nothing or pays for dead rows. p_filter: {headers, payload}, each to be contained. */
create or replace function {schema}.try_read(p_queue text, p_limit int, p_lease interval, p_own boolean, p_filter jsonb)
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
  v_live smallint[];
  v_now timestamptz := clock();
  v_lease bigint := new_lease();
  v_until timestamptz;
  v_want int := p_limit;
  v_seen int := 0;
  v_buried int := 0;
  v_ids bigint[];
  v_gone bigint[];
  v_sorted bigint[];
  v_rank int[];
  v_taken int;
  v_looked boolean := false;
  v_blocks bigint;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or isolation_fault() is not null or q.storage <> 0 and not hold_storage(q) then
    return query select coalesce(isolation_fault(), queue_fault(p_queue, 'work')),
      0, null::bigint, 0, 0, null::bigint, v_now, v_now, null::jsonb, null::jsonb;
    return;
  end if;
  if q.storage <> 0 then
    return query execute format('select * from %I($1, $2, $3, $4, $5)', 'try_read_s' || q.storage)
      using p_queue, p_limit, p_lease, p_own, p_filter;
    return;
  end if;
  if q.paused_at is not null then
    return;
  end if;
  if p_own then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
  v_blocks := blocks_fetched(q.storage);
  v_until := greatest(v_now, v_now + coalesce(p_lease, q.lease));
  loop
    v_ids := case when q.ungrouped is null or not goes_round(q) then lock_ready(q, v_live, v_want, v_now, p_filter) else lock_grouped(q, v_live, v_want, v_now, p_filter) end;
    if v_ids = '{}' then
      exit when v_seen > 0 or v_looked or not p_own or not found_elsewhere(q, v_blocks);
      v_looked := true;
      v_now := clock();
      select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
      continue;
    end if;
    if exists (select from cancellation c where c.queue = q.id) then
      v_ids := without_cancelled(q, v_live, v_ids, v_now);
      continue when v_ids = '{}';
    end if;
    v_sorted := v_ids;
    if p_limit > 1 then
      select array_agg(i order by i), array_agg(v_seen + n order by i) into v_sorted, v_rank
        from unnest(v_ids) with ordinality u(i, n);
    end if;
    if searches_arrays() then
      if v_live = '{0}' then
        return query
          update message_0 m set vt = v_until, lease = v_lease, attempt = m.attempt + 1
           where m.queue = q.id and m.id = any (v_sorted) and (q.max_attempts is null or m.attempt < q.max_attempts)
             and (m.expire_at is null or m.expire_at > v_now)
          returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt, m.lease, m.enqueued_at, m.vt, m.headers, m.payload;
      elsif v_live = '{1}' then
        return query
          update message_1 m set vt = v_until, lease = v_lease, attempt = m.attempt + 1
           where m.queue = q.id and m.id = any (v_sorted) and (q.max_attempts is null or m.attempt < q.max_attempts)
             and (m.expire_at is null or m.expire_at > v_now)
          returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt, m.lease, m.enqueued_at, m.vt, m.headers, m.payload;
      else
        return query
          update message m set vt = v_until, lease = v_lease, attempt = m.attempt + 1
           where m.queue = q.id and m.id = any (v_sorted) and (q.max_attempts is null or m.attempt < q.max_attempts)
             and (m.expire_at is null or m.expire_at > v_now)
          returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt, m.lease, m.enqueued_at, m.vt, m.headers, m.payload;
      end if;
    else
      if v_live = '{0}' then
        return query
          update message_0 m set vt = v_until, lease = v_lease, attempt = m.attempt + 1
           where m.ctid = any (array(select p.ctid from unnest(v_sorted) i(id), lateral (select y.ctid from message_0 y where y.queue = q.id and y.id = i.id offset 0) p))
           and m.id = v_sorted[width_bucket(m.id, v_sorted)] and (q.max_attempts is null or m.attempt < q.max_attempts)
             and (m.expire_at is null or m.expire_at > v_now)
          returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt, m.lease, m.enqueued_at, m.vt, m.headers, m.payload;
      elsif v_live = '{1}' then
        return query
          update message_1 m set vt = v_until, lease = v_lease, attempt = m.attempt + 1
           where m.ctid = any (array(select p.ctid from unnest(v_sorted) i(id), lateral (select y.ctid from message_1 y where y.queue = q.id and y.id = i.id offset 0) p))
           and m.id = v_sorted[width_bucket(m.id, v_sorted)] and (q.max_attempts is null or m.attempt < q.max_attempts)
             and (m.expire_at is null or m.expire_at > v_now)
          returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt, m.lease, m.enqueued_at, m.vt, m.headers, m.payload;
      else
        return query
          update message m set vt = v_until, lease = v_lease, attempt = m.attempt + 1
           where m.ctid = any (array(select p.ctid from unnest(v_sorted) i(id), lateral (select y.ctid from message y where y.queue = q.id and y.id = i.id offset 0) p))
           and m.id = v_sorted[width_bucket(m.id, v_sorted)] and (q.max_attempts is null or m.attempt < q.max_attempts)
             and (m.expire_at is null or m.expire_at > v_now)
          returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt, m.lease, m.enqueued_at, m.vt, m.headers, m.payload;
      end if;
    end if;
    get diagnostics v_taken = row_count;
    exit when v_taken = cardinality(v_ids);
    v_gone := v_ids || dead_ahead(q, v_live, v_now);
    v_buried := v_buried + discard_expired(q, v_live, v_gone, v_now) + bury(q, v_live, v_gone, v_lease, v_now);
    v_want := v_want - v_taken;
    v_seen := v_seen + cardinality(v_ids);
    /* What a lease of 0 took is ready again already: a second look would find it. */
    exit when v_want = 0 or v_buried >= 10000 or v_taken > 0 and v_until <= v_now;
  end loop;
  if p_own and v_taken > 0 and v_buried = 0 and p_filter is null and blocks_fetched(q.storage) - v_blocks > 16 + 8 * v_taken then
    perform sweep(q);
  end if;
end
$$`,
  `/* Reads and deletes in one step: at most once, for those who would rather lose a message than see it twice. */
create or replace function {schema}.try_pop(p_queue text, p_limit int, p_own boolean, p_filter jsonb)
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
  v_live smallint[];
  v_now timestamptz := clock();
  v_want int := p_limit;
  v_seen int := 0;
  v_buried int := 0;
  v_ids bigint[];
  v_gone bigint[];
  v_sorted bigint[];
  v_rank int[];
  v_taken int;
  v_looked boolean := false;
  v_blocks bigint;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or isolation_fault() is not null or q.storage <> 0 and not hold_storage(q) then
    return query select coalesce(isolation_fault(), queue_fault(p_queue, 'work')),
      0, null::bigint, 0, 0, null::bigint, v_now, v_now, null::jsonb, null::jsonb;
    return;
  end if;
  if q.storage <> 0 then
    return query execute format('select * from %I($1, $2, $3, $4)', 'try_pop_s' || q.storage)
      using p_queue, p_limit, p_own, p_filter;
    return;
  end if;
  if q.paused_at is not null then
    return;
  end if;
  select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
  v_blocks := blocks_fetched(q.storage);
  loop
    v_ids := case when q.ungrouped is null or not goes_round(q) then lock_ready(q, v_live, v_want, v_now, p_filter) else lock_grouped(q, v_live, v_want, v_now, p_filter) end;
    if v_ids = '{}' then
      exit when v_seen > 0 or v_looked or not p_own or not found_elsewhere(q, v_blocks);
      v_looked := true;
      v_now := clock();
      select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
      continue;
    end if;
    if exists (select from cancellation c where c.queue = q.id) then
      v_ids := without_cancelled(q, v_live, v_ids, v_now);
      continue when v_ids = '{}';
    end if;
    v_sorted := v_ids;
    if p_limit > 1 then
      select array_agg(i order by i), array_agg(v_seen + n order by i) into v_sorted, v_rank
        from unnest(v_ids) with ordinality u(i, n);
    end if;
    if searches_arrays() then
      if v_live = '{0}' then
        return query
          delete from message_0 m
           where m.queue = q.id and m.id = any (v_sorted) and (q.max_attempts is null or m.attempt < q.max_attempts)
             and (m.expire_at is null or m.expire_at > v_now)
          returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt + 1, null::bigint, m.enqueued_at, m.vt, m.headers, m.payload;
      elsif v_live = '{1}' then
        return query
          delete from message_1 m
           where m.queue = q.id and m.id = any (v_sorted) and (q.max_attempts is null or m.attempt < q.max_attempts)
             and (m.expire_at is null or m.expire_at > v_now)
          returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt + 1, null::bigint, m.enqueued_at, m.vt, m.headers, m.payload;
      else
        return query
          delete from message m
           where m.queue = q.id and m.id = any (v_sorted) and (q.max_attempts is null or m.attempt < q.max_attempts)
             and (m.expire_at is null or m.expire_at > v_now)
          returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt + 1, null::bigint, m.enqueued_at, m.vt, m.headers, m.payload;
      end if;
    else
      if v_live = '{0}' then
        return query
          delete from message_0 m
           where m.ctid = any (array(select p.ctid from unnest(v_sorted) i(id), lateral (select y.ctid from message_0 y where y.queue = q.id and y.id = i.id offset 0) p))
           and m.id = v_sorted[width_bucket(m.id, v_sorted)] and (q.max_attempts is null or m.attempt < q.max_attempts)
             and (m.expire_at is null or m.expire_at > v_now)
          returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt + 1, null::bigint, m.enqueued_at, m.vt, m.headers, m.payload;
      elsif v_live = '{1}' then
        return query
          delete from message_1 m
           where m.ctid = any (array(select p.ctid from unnest(v_sorted) i(id), lateral (select y.ctid from message_1 y where y.queue = q.id and y.id = i.id offset 0) p))
           and m.id = v_sorted[width_bucket(m.id, v_sorted)] and (q.max_attempts is null or m.attempt < q.max_attempts)
             and (m.expire_at is null or m.expire_at > v_now)
          returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt + 1, null::bigint, m.enqueued_at, m.vt, m.headers, m.payload;
      else
        return query
          delete from message m
           where m.ctid = any (array(select p.ctid from unnest(v_sorted) i(id), lateral (select y.ctid from message y where y.queue = q.id and y.id = i.id offset 0) p))
           and m.id = v_sorted[width_bucket(m.id, v_sorted)] and (q.max_attempts is null or m.attempt < q.max_attempts)
             and (m.expire_at is null or m.expire_at > v_now)
          returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt + 1, null::bigint, m.enqueued_at, m.vt, m.headers, m.payload;
      end if;
    end if;
    get diagnostics v_taken = row_count;
    if exists (select from unnest(v_sorted) w(id), lateral (select d.parent from dependency d where d.queue = q.id and d.parent = w.id limit 1) d) then
      perform release_dependants(q, v_sorted, true);
    end if;
    exit when v_taken = cardinality(v_ids);
    v_gone := v_ids || dead_ahead(q, v_live, v_now);
    v_buried := v_buried + discard_expired(q, v_live, v_gone, v_now) + bury(q, v_live, v_gone, null, v_now);
    v_want := v_want - v_taken;
    v_seen := v_seen + cardinality(v_ids);
    exit when v_want = 0 or v_buried >= 10000;
  end loop;
  if p_own and v_taken > 0 and v_buried = 0 and p_filter is null and blocks_fetched(q.storage) - v_blocks > 16 + 8 * v_taken then
    perform sweep(q);
  end if;
end
$$`,
  `create or replace function {schema}.filter_fault(p_filter jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select case when p_filter is not null then argument_fault('filter',
    jsonb_typeof(p_filter) = 'object' and jsonb_typeof(coalesce(p_filter->'headers', '{}')) = 'object'
    and p_filter - 'headers' - 'payload' = '{}' and p_filter <> '{}') end
$$`,
  `create or replace function {schema}.read(
  queue text, "limit" int default 1, lease interval default null, filter jsonb default null
) returns setof {schema}.delivery
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(coalesce(
    argument_fault('limit', "limit" >= 0),
    argument_fault('lease', isfinite(coalesce(lease, '0'))),
    filter_fault(filter)));
  for v in select * from try_read(queue, "limit", lease, false, filter) order by place loop
    perform raise_fault(v.fault);
    return next (v.id, v.priority, v.attempt, v.lease, v.enqueued_at, v.visible_at, v.headers, v.payload)::delivery;
  end loop;
end
$$`,
  `create or replace function {schema}.pop(queue text, "limit" int default 1, filter jsonb default null) returns setof {schema}.delivery
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(coalesce(argument_fault('limit', "limit" >= 0), filter_fault(filter)));
  for v in select * from try_pop(queue, "limit", false, filter) order by place loop
    perform raise_fault(v.fault);
    return next (v.id, v.priority, v.attempt, v.lease, v.enqueued_at, v.visible_at, v.headers, v.payload)::delivery;
  end loop;
end
$$`,
  `/* Every settle matches (id, lease). p_ids is ascending, so that all settles lock in one order, and width_bucket finds the
   lease that belongs to an id by binary search. An expired lease that nobody has taken since still settles. What was not
   found is looked for once more while a flip moves messages from one segment to the other: a second statement sees where. */
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
  v_live smallint[];
  v_generation bigint;
  v_count int;
  v_done int := 0;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or q.storage <> 0 and not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  if q.storage <> 0 then
    return query execute format('select * from %I($1, $2, $3)', 'try_delete_s' || q.storage)
      using p_queue, p_ids, p_leases;
    return;
  end if;
  select s.live, s.generation into v_live, v_generation from segment s where s.storage = q.storage order by s.generation desc limit 1;
  for v_pass in 1 .. 2 loop
    if searches_arrays() then
      if v_live = '{0}' then
        return query
          delete from message_0 m
           where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
          returning null::jsonb, m.id;
        get diagnostics v_count = row_count;
        v_done := v_done + v_count;
      elsif v_live = '{1}' then
        return query
          delete from message_1 m
           where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
          returning null::jsonb, m.id;
        get diagnostics v_count = row_count;
        v_done := v_done + v_count;
      else
        return query
          delete from message m
           where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
          returning null::jsonb, m.id;
        get diagnostics v_count = row_count;
        v_done := v_done + v_count;
      end if;
    else
      for v_i in 1 .. cardinality(p_ids) loop
        if v_live = '{0}' then
          return query
            delete from message_0 m
             where m.queue = q.id and m.id = p_ids[v_i] and m.lease = p_leases[width_bucket(m.id, p_ids)]
            returning null::jsonb, m.id;
          get diagnostics v_count = row_count;
          v_done := v_done + v_count;
        elsif v_live = '{1}' then
          return query
            delete from message_1 m
             where m.queue = q.id and m.id = p_ids[v_i] and m.lease = p_leases[width_bucket(m.id, p_ids)]
            returning null::jsonb, m.id;
          get diagnostics v_count = row_count;
          v_done := v_done + v_count;
        else
          return query
            delete from message m
             where m.queue = q.id and m.id = p_ids[v_i] and m.lease = p_leases[width_bucket(m.id, p_ids)]
            returning null::jsonb, m.id;
          get diagnostics v_count = row_count;
          v_done := v_done + v_count;
        end if;
      end loop;
    end if;
    exit when v_pass = 2 or v_done = cardinality(p_ids) or not flipping(q.storage, v_generation);
    v_live := '{0,1}';
  end loop;
  if exists (select from unnest(p_ids) w(id), lateral (select d.parent from dependency d where d.queue = q.id and d.parent = w.id limit 1) d) then
    perform release_dependants(q, p_ids, true);
  end if;
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
  v_live smallint[];
  v_generation bigint;
  v_count int;
  v_done int := 0;
  v_now timestamptz := clock();
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or q.storage <> 0 and not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  if q.storage <> 0 then
    return query execute format('select * from %I($1, $2, $3)', 'try_archive_s' || q.storage)
      using p_queue, p_ids, p_leases;
    return;
  end if;
  select s.live, s.generation into v_live, v_generation from segment s where s.storage = q.storage order by s.generation desc limit 1;
  for v_pass in 1 .. 2 loop
    if searches_arrays() then
      if v_live = '{0}' then
        return query
          with gone as (
            delete from message_0 m
             where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
            returning m.*)
          insert into archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key)
          select queue, id, v_now, 'done', priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key from gone
          returning null::jsonb, archive.id;
        get diagnostics v_count = row_count;
        v_done := v_done + v_count;
      elsif v_live = '{1}' then
        return query
          with gone as (
            delete from message_1 m
             where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
            returning m.*)
          insert into archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key)
          select queue, id, v_now, 'done', priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key from gone
          returning null::jsonb, archive.id;
        get diagnostics v_count = row_count;
        v_done := v_done + v_count;
      else
        return query
          with gone as (
            delete from message m
             where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
            returning m.*)
          insert into archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key)
          select queue, id, v_now, 'done', priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key from gone
          returning null::jsonb, archive.id;
        get diagnostics v_count = row_count;
        v_done := v_done + v_count;
      end if;
    else
      for v_i in 1 .. cardinality(p_ids) loop
        if v_live = '{0}' then
          return query
            with gone as (
              delete from message_0 m
               where m.queue = q.id and m.id = p_ids[v_i] and m.lease = p_leases[width_bucket(m.id, p_ids)]
              returning m.*)
            insert into archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key)
            select queue, id, v_now, 'done', priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key from gone
            returning null::jsonb, archive.id;
          get diagnostics v_count = row_count;
          v_done := v_done + v_count;
        elsif v_live = '{1}' then
          return query
            with gone as (
              delete from message_1 m
               where m.queue = q.id and m.id = p_ids[v_i] and m.lease = p_leases[width_bucket(m.id, p_ids)]
              returning m.*)
            insert into archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key)
            select queue, id, v_now, 'done', priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key from gone
            returning null::jsonb, archive.id;
          get diagnostics v_count = row_count;
          v_done := v_done + v_count;
        else
          return query
            with gone as (
              delete from message m
               where m.queue = q.id and m.id = p_ids[v_i] and m.lease = p_leases[width_bucket(m.id, p_ids)]
              returning m.*)
            insert into archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key)
            select queue, id, v_now, 'done', priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key from gone
            returning null::jsonb, archive.id;
          get diagnostics v_count = row_count;
          v_done := v_done + v_count;
        end if;
      end loop;
    end if;
    exit when v_pass = 2 or v_done = cardinality(p_ids) or not flipping(q.storage, v_generation);
    v_live := '{0,1}';
  end loop;
  if exists (select from unnest(p_ids) w(id), lateral (select d.parent from dependency d where d.queue = q.id and d.parent = w.id limit 1) d) then
    perform release_dependants(q, p_ids, true);
  end if;
end
$$`,
  `/* How long a failed message waits, by the attempt that failed. */
create or replace function {schema}.backoff_delay(p_backoff jsonb, p_attempt int) returns interval
language sql volatile as $$
  select coalesce(
    least((p_backoff->>'max')::float8, (p_backoff->>'base')::float8 * case p_backoff->>'kind'
      when 'linear' then greatest(p_attempt, 1) when 'exponential' then 2 ^ least(greatest(p_attempt, 1) - 1, 50) else 1 end)
    * (1 - (p_backoff->>'jitter')::float8 * random()), 0) * interval '1 millisecond'
$$`,
  `/* When a message is ready again that is given back like this. */
create or replace function {schema}.ready_again(p_backoff jsonb, p_attempt int, p_what jsonb, p_now timestamptz) returns timestamptz
language sql volatile set search_path = {schema}, pg_temp as $$
  select greatest(p_now, p_now + coalesce((p_what->>'delay')::float8 * interval '1 millisecond',
    case when p_what->>'to' = 'retry' then backoff_delay(p_backoff, p_attempt) end))
$$`,
  `/* The last 50 are kept: without a limit of attempts they would outgrow every payload, and each retry rewrites them all. */
create or replace function {schema}.with_error(p_errors jsonb, p_error jsonb, p_attempt int, p_now timestamptz) returns jsonb
language sql immutable as $$
  select case when p_error is null or p_error = 'null' then p_errors
    else case when jsonb_array_length(p_errors) >= 50 then p_errors - 0 else coalesce(p_errors, '[]') end
      || jsonb_build_array(p_error || jsonb_build_object('attempt', p_attempt, 'at', p_now)) end
$$`,
  `/* Ends leases, but for those of messages that are done. p_what tells of each id {to, delay, error}, delay in milliseconds.
   release: ready at once. retry: ready after the delay, or the queue's backoff; buried at the limit of attempts. snooze: ready
   after the delay, the attempt not charged. dead: buried now. cancel: gone, as is what was cancelled while it was held. */
create or replace function {schema}.try_settle(p_queue text, p_ids bigint[], p_leases bigint[], p_what jsonb)
returns table (fault jsonb, id bigint, outcome text, visible_at timestamptz)
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
  v_live smallint[];
  v_generation bigint;
  v_now timestamptz := clock();
  v_ids bigint[] := '{}';
  v_attempts int[] := '{}';
  v_times timestamptz[] := '{}';
  v_outcomes text[];
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or q.storage <> 0 and not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::bigint, null::text, null::timestamptz;
    return;
  end if;
  if q.storage <> 0 then
    return query execute format('select * from %I($1, $2, $3, $4)', 'try_settle_s' || q.storage)
      using p_queue, p_ids, p_leases, p_what;
    return;
  end if;
  select s.live, s.generation into v_live, v_generation from segment s where s.storage = q.storage order by s.generation desc limit 1;
  for v_pass in 1 .. 2 loop
    if searches_arrays() then
      if v_live = '{0}' then
        with given as (
          update message_0 m
             set lease = null,
                 vt = ready_again(q.backoff, m.attempt, p_what->(width_bucket(m.id, p_ids) - 1), v_now),
                 errors = with_error(m.errors, p_what->(width_bucket(m.id, p_ids) - 1)->'error', m.attempt, v_now),
                 attempt = m.attempt - (p_what->(width_bucket(m.id, p_ids) - 1)->>'to' = 'snooze')::int
           where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
          returning m.id, m.attempt, m.vt)
        select v_ids || array_agg(g.id), v_attempts || array_agg(g.attempt), v_times || array_agg(g.vt)
          into v_ids, v_attempts, v_times from given g;
      elsif v_live = '{1}' then
        with given as (
          update message_1 m
             set lease = null,
                 vt = ready_again(q.backoff, m.attempt, p_what->(width_bucket(m.id, p_ids) - 1), v_now),
                 errors = with_error(m.errors, p_what->(width_bucket(m.id, p_ids) - 1)->'error', m.attempt, v_now),
                 attempt = m.attempt - (p_what->(width_bucket(m.id, p_ids) - 1)->>'to' = 'snooze')::int
           where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
          returning m.id, m.attempt, m.vt)
        select v_ids || array_agg(g.id), v_attempts || array_agg(g.attempt), v_times || array_agg(g.vt)
          into v_ids, v_attempts, v_times from given g;
      else
        with given as (
          update message m
             set lease = null,
                 vt = ready_again(q.backoff, m.attempt, p_what->(width_bucket(m.id, p_ids) - 1), v_now),
                 errors = with_error(m.errors, p_what->(width_bucket(m.id, p_ids) - 1)->'error', m.attempt, v_now),
                 attempt = m.attempt - (p_what->(width_bucket(m.id, p_ids) - 1)->>'to' = 'snooze')::int
           where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
          returning m.id, m.attempt, m.vt)
        select v_ids || array_agg(g.id), v_attempts || array_agg(g.attempt), v_times || array_agg(g.vt)
          into v_ids, v_attempts, v_times from given g;
      end if;
    else
      for v_i in 1 .. cardinality(p_ids) loop
        if v_live = '{0}' then
          with given as (
            update message_0 m
               set lease = null,
                   vt = ready_again(q.backoff, m.attempt, p_what->(width_bucket(m.id, p_ids) - 1), v_now),
                   errors = with_error(m.errors, p_what->(width_bucket(m.id, p_ids) - 1)->'error', m.attempt, v_now),
                   attempt = m.attempt - (p_what->(width_bucket(m.id, p_ids) - 1)->>'to' = 'snooze')::int
             where m.queue = q.id and m.id = p_ids[v_i] and m.lease = p_leases[width_bucket(m.id, p_ids)]
            returning m.id, m.attempt, m.vt)
          select v_ids || array_agg(g.id), v_attempts || array_agg(g.attempt), v_times || array_agg(g.vt)
            into v_ids, v_attempts, v_times from given g;
        elsif v_live = '{1}' then
          with given as (
            update message_1 m
               set lease = null,
                   vt = ready_again(q.backoff, m.attempt, p_what->(width_bucket(m.id, p_ids) - 1), v_now),
                   errors = with_error(m.errors, p_what->(width_bucket(m.id, p_ids) - 1)->'error', m.attempt, v_now),
                   attempt = m.attempt - (p_what->(width_bucket(m.id, p_ids) - 1)->>'to' = 'snooze')::int
             where m.queue = q.id and m.id = p_ids[v_i] and m.lease = p_leases[width_bucket(m.id, p_ids)]
            returning m.id, m.attempt, m.vt)
          select v_ids || array_agg(g.id), v_attempts || array_agg(g.attempt), v_times || array_agg(g.vt)
            into v_ids, v_attempts, v_times from given g;
        else
          with given as (
            update message m
               set lease = null,
                   vt = ready_again(q.backoff, m.attempt, p_what->(width_bucket(m.id, p_ids) - 1), v_now),
                   errors = with_error(m.errors, p_what->(width_bucket(m.id, p_ids) - 1)->'error', m.attempt, v_now),
                   attempt = m.attempt - (p_what->(width_bucket(m.id, p_ids) - 1)->>'to' = 'snooze')::int
             where m.queue = q.id and m.id = p_ids[v_i] and m.lease = p_leases[width_bucket(m.id, p_ids)]
            returning m.id, m.attempt, m.vt)
          select v_ids || array_agg(g.id), v_attempts || array_agg(g.attempt), v_times || array_agg(g.vt)
            into v_ids, v_attempts, v_times from given g;
        end if;
      end loop;
    end if;
    exit when v_pass = 2 or cardinality(v_ids) = cardinality(p_ids) or not flipping(q.storage, v_generation);
    v_live := '{0,1}';
  end loop;
  v_outcomes := array(
    select case
        when p_what->(width_bucket(u.id, p_ids) - 1)->>'to' = 'cancel'
          or (select c.id from cancellation c where c.queue = q.id and c.id = u.id) is not null then 'cancelled'
        when p_what->(width_bucket(u.id, p_ids) - 1)->>'to' = 'retry' and u.attempt >= q.max_attempts then 'dead'
        else p_what->(width_bucket(u.id, p_ids) - 1)->>'to'
      end
      from unnest(v_ids, v_attempts) with ordinality u(id, attempt, n) order by u.n);
  if 'dead' = any (v_outcomes) then
    q.max_attempts := 0;
    perform bury(q, v_live, array(select u.id from unnest(v_ids, v_outcomes) u(id, outcome) where u.outcome = 'dead'), null, v_now);
  end if;
  if 'cancelled' = any (v_outcomes) then
    perform discard(q, v_live, array(select u.id from unnest(v_ids, v_outcomes) u(id, outcome) where u.outcome = 'cancelled'), 'cancelled', v_now);
  end if;
  return query
    select null::jsonb, u.id, u.outcome, case when u.outcome in ('release', 'retry', 'snooze') then u.vt end
      from unnest(v_ids, v_outcomes, v_times) u(id, outcome, vt);
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
  v_live smallint[];
  v_generation bigint;
  v_now timestamptz := clock();
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or q.storage <> 0 and not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::timestamptz;
    return;
  end if;
  if q.storage <> 0 then
    return query execute format('select * from %I($1, $2, $3, $4, $5, $6)', 'try_set_vt_s' || q.storage)
      using p_queue, p_id, p_lease, p_at, p_delay, p_extend;
    return;
  end if;
  select s.live, s.generation into v_live, v_generation from segment s where s.storage = q.storage order by s.generation desc limit 1;
  for v_pass in 1 .. 2 loop
    if v_live = '{0}' then
      return query
        update message_0 m set vt = greatest(v_now, p_at, v_now + p_delay, m.vt + p_extend)
         where m.queue = q.id and m.id = p_id and m.lease = p_lease
        returning null::jsonb, m.vt;
    elsif v_live = '{1}' then
      return query
        update message_1 m set vt = greatest(v_now, p_at, v_now + p_delay, m.vt + p_extend)
         where m.queue = q.id and m.id = p_id and m.lease = p_lease
        returning null::jsonb, m.vt;
    else
      return query
        update message m set vt = greatest(v_now, p_at, v_now + p_delay, m.vt + p_extend)
         where m.queue = q.id and m.id = p_id and m.lease = p_lease
        returning null::jsonb, m.vt;
    end if;
    exit when v_pass = 2 or found or not flipping(q.storage, v_generation);
    v_live := '{0,1}';
  end loop;
end
$$`,
  `/* Locks messages under their leases, for a transaction that is to settle them: nobody else can take them while it lives,
   however long, and none that is cancelled is begun. */
create or replace function {schema}.try_lock(p_queue text, p_ids bigint[], p_leases bigint[]) returns table (fault jsonb, id bigint, cancelled boolean)
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
  v_live smallint[];
  v_generation bigint;
  v_count int;
  v_found int := 0;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or q.storage <> 0 and not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::bigint, null::boolean;
    return;
  end if;
  if q.storage <> 0 then
    return query execute format('select * from %I($1, $2, $3)', 'try_lock_s' || q.storage)
      using p_queue, p_ids, p_leases;
    return;
  end if;
  select s.live, s.generation into v_live, v_generation from segment s where s.storage = q.storage order by s.generation desc limit 1;
  for v_pass in 1 .. 2 loop
    if searches_arrays() then
      if v_live = '{0}' then
        return query
          select null::jsonb, m.id, exists (select from cancellation c where c.queue = q.id and c.id = m.id) from message_0 m
           where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
             for update;
        get diagnostics v_count = row_count;
        v_found := v_found + v_count;
      elsif v_live = '{1}' then
        return query
          select null::jsonb, m.id, exists (select from cancellation c where c.queue = q.id and c.id = m.id) from message_1 m
           where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
             for update;
        get diagnostics v_count = row_count;
        v_found := v_found + v_count;
      else
        return query
          select null::jsonb, m.id, exists (select from cancellation c where c.queue = q.id and c.id = m.id) from message m
           where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
             for update;
        get diagnostics v_count = row_count;
        v_found := v_found + v_count;
      end if;
    else
      for v_i in 1 .. cardinality(p_ids) loop
        if v_live = '{0}' then
          return query
            select null::jsonb, m.id, exists (select from cancellation c where c.queue = q.id and c.id = m.id) from message_0 m
             where m.queue = q.id and m.id = p_ids[v_i] and m.lease = p_leases[width_bucket(m.id, p_ids)]
               for update;
          get diagnostics v_count = row_count;
          v_found := v_found + v_count;
        elsif v_live = '{1}' then
          return query
            select null::jsonb, m.id, exists (select from cancellation c where c.queue = q.id and c.id = m.id) from message_1 m
             where m.queue = q.id and m.id = p_ids[v_i] and m.lease = p_leases[width_bucket(m.id, p_ids)]
               for update;
          get diagnostics v_count = row_count;
          v_found := v_found + v_count;
        else
          return query
            select null::jsonb, m.id, exists (select from cancellation c where c.queue = q.id and c.id = m.id) from message m
             where m.queue = q.id and m.id = p_ids[v_i] and m.lease = p_leases[width_bucket(m.id, p_ids)]
               for update;
          get diagnostics v_count = row_count;
          v_found := v_found + v_count;
        end if;
      end loop;
    end if;
    exit when v_pass = 2 or v_found = cardinality(p_ids) or not flipping(q.storage, v_generation);
    v_live := '{0,1}';
  end loop;
end
$$`,
  `/* Keeps the leases of messages that are being handled, those that would end before p_before, and returns which are lost. Locked
   ones need none: a transaction has them, and nobody could take them. */
create or replace function {schema}.keep(q {schema}.queue, p_ids bigint[], p_leases bigint[], p_before timestamptz, p_until timestamptz) returns bigint[]
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
  v_lost bigint[];
begin
  if q.storage <> 0 then
    if hold_if_free(q) then
      execute format('select %I($1, $2, $3, $4, $5)', 'keep_s' || q.storage) into v_lost using q, p_ids, p_leases, p_before, p_until;
    end if;
    return coalesce(v_lost, '{}');
  end if;
  select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
  if searches_arrays() then
    if v_live = '{0}' then
      v_ids := array(
        select k.id
          from unnest(p_ids, p_leases) h(id, lease),
               lateral (select m.id from message_0 m where m.queue = q.id and m.id = h.id and m.lease = h.lease and m.vt < p_before for update skip locked) k);
      update message_0 m set vt = p_until
       where m.queue = q.id and m.id = any (v_ids);
      /* A scalar, so that it is looked up id by id: a join might read the whole queue. */
      v_lost := array(
        select h.id from unnest(p_ids, p_leases) h(id, lease)
         where (select m.lease from message_0 m where m.queue = q.id and m.id = h.id) is distinct from h.lease);
    elsif v_live = '{1}' then
      v_ids := array(
        select k.id
          from unnest(p_ids, p_leases) h(id, lease),
               lateral (select m.id from message_1 m where m.queue = q.id and m.id = h.id and m.lease = h.lease and m.vt < p_before for update skip locked) k);
      update message_1 m set vt = p_until
       where m.queue = q.id and m.id = any (v_ids);
      /* A scalar, so that it is looked up id by id: a join might read the whole queue. */
      v_lost := array(
        select h.id from unnest(p_ids, p_leases) h(id, lease)
         where (select m.lease from message_1 m where m.queue = q.id and m.id = h.id) is distinct from h.lease);
    else
      v_ids := array(
        select k.id
          from unnest(p_ids, p_leases) h(id, lease),
               lateral (select m.id from message m where m.queue = q.id and m.id = h.id and m.lease = h.lease and m.vt < p_before for update skip locked) k);
      update message m set vt = p_until
       where m.queue = q.id and m.id = any (v_ids);
      /* A scalar, so that it is looked up id by id: a join might read the whole queue. */
      v_lost := array(
        select h.id from unnest(p_ids, p_leases) h(id, lease)
         where (select m.lease from message m where m.queue = q.id and m.id = h.id) is distinct from h.lease);
    end if;
  else
    if v_live = '{0}' then
      v_ids := array(
        select k.id
          from unnest(p_ids, p_leases) h(id, lease),
               lateral (select m.id from message_0 m where m.queue = q.id and m.id = h.id and m.lease = h.lease and m.vt < p_before for update skip locked) k);
      update message_0 m set vt = p_until
       where m.ctid = any (array(select p.ctid from unnest(v_ids) i(id), lateral (select y.ctid from message_0 y where y.queue = q.id and y.id = i.id offset 0) p))
           and m.id = v_ids[width_bucket(m.id, v_ids)];
      /* A scalar, so that it is looked up id by id: a join might read the whole queue. */
      v_lost := array(
        select h.id from unnest(p_ids, p_leases) h(id, lease)
         where (select m.lease from message_0 m where m.queue = q.id and m.id = h.id) is distinct from h.lease);
    elsif v_live = '{1}' then
      v_ids := array(
        select k.id
          from unnest(p_ids, p_leases) h(id, lease),
               lateral (select m.id from message_1 m where m.queue = q.id and m.id = h.id and m.lease = h.lease and m.vt < p_before for update skip locked) k);
      update message_1 m set vt = p_until
       where m.ctid = any (array(select p.ctid from unnest(v_ids) i(id), lateral (select y.ctid from message_1 y where y.queue = q.id and y.id = i.id offset 0) p))
           and m.id = v_ids[width_bucket(m.id, v_ids)];
      /* A scalar, so that it is looked up id by id: a join might read the whole queue. */
      v_lost := array(
        select h.id from unnest(p_ids, p_leases) h(id, lease)
         where (select m.lease from message_1 m where m.queue = q.id and m.id = h.id) is distinct from h.lease);
    else
      v_ids := array(
        select k.id
          from unnest(p_ids, p_leases) h(id, lease),
               lateral (select m.id from message m where m.queue = q.id and m.id = h.id and m.lease = h.lease and m.vt < p_before for update skip locked) k);
      update message m set vt = p_until
       where m.ctid = any (array(select p.ctid from unnest(v_ids) i(id), lateral (select y.ctid from message y where y.queue = q.id and y.id = i.id offset 0) p))
           and m.id = v_ids[width_bucket(m.id, v_ids)];
      /* A scalar, so that it is looked up id by id: a join might read the whole queue. */
      v_lost := array(
        select h.id from unnest(p_ids, p_leases) h(id, lease)
         where (select m.lease from message m where m.queue = q.id and m.id = h.id) is distinct from h.lease);
    end if;
  end if;
  if v_lost <> '{}' then
    /* Or moved to the other segment. */
    v_lost := array(
      select u.id from unnest(v_lost) u(id)
       where (select m.lease from message m where m.queue = q.id and m.id = u.id limit 1) is distinct from p_leases[width_bucket(u.id, p_ids)]);
  end if;
  return v_lost;
end
$$`,
  `/* {limit, per} with per as text with its unit, into milliseconds; null where it cannot be meant, and where none is. */
create or replace function {schema}.rate_wanted(p jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('limit', w.n, 'per', w.per)
    from (select partition_measure('id', p->'limit') as n, partition_measure('time', p->'per') as per) w
   where jsonb_typeof(p) = 'object' and p - '{limit,per}'::text[] = '{}' and w.n between 1 and 1000000 and w.per >= 1
$$`,
  `create or replace function {schema}.limits_fault(p jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select coalesce(
    argument_fault('fifo', coalesce(jsonb_typeof(p->'fifo'), 'boolean') = 'boolean'),
    argument_fault('fair', coalesce(jsonb_typeof(p->'fair'), 'boolean') = 'boolean'),
    argument_fault('concurrency', coalesce(jsonb_typeof(p->'concurrency'), 'null') = 'null' or partition_measure('id', p->'concurrency') > 0),
    argument_fault('groupConcurrency', coalesce(jsonb_typeof(p->'groupConcurrency'), 'null') = 'null' or partition_measure('id', p->'groupConcurrency') > 0),
    argument_fault('rateLimit', coalesce(jsonb_typeof(p->'rateLimit'), 'null') = 'null' or rate_wanted(p->'rateLimit') is not null),
    argument_fault('groupRateLimit', coalesce(jsonb_typeof(p->'groupRateLimit'), 'null') = 'null' or rate_wanted(p->'groupRateLimit') is not null))
$$`,
  `/* With any of these the claims of a queue go round its groups, and its messages are in the indexes of groups. */
create or replace function {schema}.set_limits(q {schema}.queue, p_patch jsonb) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  n queue;
begin
  if not p_patch ?| '{fifo,fair,concurrency,groupConcurrency,rateLimit,groupRateLimit}' then
    return;
  end if;
  update queue set
    fifo = coalesce((p_patch->>'fifo')::boolean, fifo),
    fair = coalesce((p_patch->>'fair')::boolean, fair),
    concurrency = case when p_patch ? 'concurrency' then (p_patch->>'concurrency')::int else concurrency end,
    group_concurrency = case when p_patch ? 'groupConcurrency' then (p_patch->>'groupConcurrency')::int else group_concurrency end,
    rate = case when p_patch ? 'rateLimit' then rate_wanted(p_patch->'rateLimit') else rate end,
    group_rate = case when p_patch ? 'groupRateLimit' then rate_wanted(p_patch->'groupRateLimit') else group_rate end
   where id = q.id;
  update queue set ungrouped = 0, grouped_at = clock()
   where id = q.id and ungrouped is null and (fifo or fair or coalesce(concurrency, group_concurrency) is not null or coalesce(rate, group_rate) is not null)
  returning * into n;
  if n.id is not null then
    execute format('create sequence if not exists %I.%I minvalue 0', current_schema(), 'turn_' || n.id);
    perform regroup(n);
  end if;
end
$$`,
  `/* Messages that were sent before the queue had groups, or by who did not know of it yet. Those that a transaction has locked are
   for the next time: who waited for one would hold up the settles of the others. */
create or replace function {schema}.regroup(q {schema}.queue) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_count int;
begin
  execute format('update %1$I set grp = group_of($2, group_name) where queue = $1 and id = any (array(
    select m.id from %1$I m where m.queue = $1 and m.grp is null for no key update skip locked))', message_table(q.storage)) using q.id, q.ungrouped;
  get diagnostics v_count = row_count;
  return v_count;
end
$$`,
  `create or replace function {schema}.queue_info(q {schema}.queue) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object(
    'id', q.id::text, 'name', q.name, 'createdAt', extract(epoch from q.created_at) * 1000,
    'levels', q.levels, 'lease', extract(epoch from q.lease) * 1000, 'maxAttempts', q.max_attempts,
    'deadLetter', (select name from queue where id = q.dead_letter), 'notify', q.notify,
    'archiveRetention', extract(epoch from q.archive_retention) * 1000,
    'backoff', q.backoff, 'done', q.done, 'onInvalid', q.on_invalid, 'pausedAt', extract(epoch from q.paused_at) * 1000, 'results', extract(epoch from q.result_retention) * 1000,
    'fifo', q.fifo, 'fair', q.fair, 'concurrency', q.concurrency, 'groupConcurrency', q.group_concurrency, 'rateLimit', q.rate, 'groupRateLimit', q.group_rate)
    || storage_info((select s from storage s where s.id = q.storage))
$$`,
  `/* As options say it, lengths of time as text with their unit, into milliseconds; null where it cannot be meant, and where none is. */
create or replace function {schema}.backoff_wanted(p jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('kind', p->>'kind', 'base', w.base, 'max', w.max, 'jitter', w.jitter)
    from (select partition_measure('time', p->'base') as base, partition_measure('time', coalesce(p->'max', '"10 minutes"')) as max,
                 case when p->'jitter' is null then 0.2 when jsonb_typeof(p->'jitter') = 'number' then (p->>'jitter')::numeric end as jitter) w
   where jsonb_typeof(p) = 'object' and p - '{kind,base,max,jitter}'::text[] = '{}' and p->>'kind' in ('fixed', 'linear', 'exponential')
     and w.base >= 0 and w.max >= w.base and w.jitter between 0 and 1
$$`,
  `create or replace function {schema}.differences(q {schema}.queue, p_options jsonb) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('code', 'options_differ', 'queue', q.name,
           'differences', jsonb_agg(jsonb_build_object('option', key, 'stored', stored, 'requested', value) order by key))
    from (select key, queue_info(q)->key as stored,
                 case when key in ('lease', 'archiveRetention', 'results') then coalesce(to_jsonb(extract(epoch from (value #>> '{}')::interval) * 1000), 'null')
                      when key = 'backoff' then coalesce(backoff_wanted(value), 'null')
                      when key in ('rateLimit', 'groupRateLimit') then coalesce(rate_wanted(value), 'null')
                      when key in ('storage', 'partition') then storage_info(storage_wanted(p_options))->key
                      else value end as value
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
  `/* Creates a queue or finds it. Options that differ from the stored ones are an answer
   that names each difference, never silently kept. */
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
  v_fault := set_queue(q.id, p_options - 'storage' - 'partition');
  if v_fault is not null then
    execute format('drop sequence %I.%I', current_schema(), 'sent_' || q.id);
    delete from queue where id = q.id;
    return query select v_fault, null::boolean, null::jsonb;
    return;
  end if;
  if (storage_wanted(p_options)).layout is not null then
    update queue set storage = create_storage(storage_wanted(p_options)) where id = q.id;
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
    notify = coalesce(p_patch->>'notify', notify),
    backoff = case when p_patch ? 'backoff' then backoff_wanted(p_patch->'backoff') else backoff end,
    done = coalesce(p_patch->>'done', done),
    result_retention = case when p_patch ? 'results' then (p_patch->>'results')::interval else result_retention end,
    on_invalid = coalesce(p_patch->>'onInvalid', on_invalid),
    archive_retention = case when p_patch ? 'archiveRetention' then (p_patch->>'archiveRetention')::interval else archive_retention end
  where id = p_id returning * into q;
  perform set_limits(q, p_patch);
  if p_patch ? 'levels' then
    execute format('update %I set priority = $1 - 1 where queue = $2 and priority >= $1', message_table(q.storage)) using q.levels, q.id;
  end if;
  return null;
end
$$`,
  `/* Where a queue is stored is decided once; what its retention does may change. */
create or replace function {schema}.set_storage(q {schema}.queue, p_patch jsonb) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s storage;
  w storage;
begin
  if not p_patch ?| '{storage,partition}' then
    return null;
  end if;
  select * into s from storage where id = q.storage;
  w := storage_wanted(jsonb_build_object('storage', storage_info(s)->'storage') || p_patch);
  if not p_patch ? 'partition' and p_patch->'storage' = storage_info(s)->'storage' then
    return null;
  elsif (coalesce(w.layout, 'ring'), coalesce(w.unlogged, false), w.width, coalesce(w.own_archive, false), w is null)
     is distinct from (s.layout, s.unlogged, s.width, s.own_archive, s.id = 0) then
    return jsonb_build_object('code', 'storage_fixed', 'queue', q.name, 'stored', storage_info(s), 'requested', storage_info(w));
  end if;
  update storage set keep = w.keep, unread = w.unread where id = s.id and id <> 0;
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
    v_fault := coalesce(
      argument_fault('archiveRetention', p_patch->>'archiveRetention' is null or archive_table(q.storage) = 'archive'),
      set_storage(q, p_patch), set_queue(q.id, p_patch - 'storage' - 'partition'));
  end if;
  return query select v_fault, (select queue_info(n) from queue n where n.id = q.id);
end
$$`,
  `/* Refused while leases are live, other queues bury their dead here or schedules send here, unless forced. existed: whether there was one.
   Messages go in order of id, as settles lock. A dedicated storage waits for every transaction that uses it, and goes whole. */
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
  v_schedules text[];
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
  v_schedules := array(select name from schedule where queue = q.id order by name);
  for v_look in 1 .. 2 loop
    exit when p_force;
    execute format('select count(*) from %I where queue = $1 and message_state(lease, vt, clock()) = ''inFlight''', message_table(q.storage))
       into v_in_flight using q.id;
    if v_in_flight > 0 or v_buries <> '{}' or v_schedules <> '{}' then
      return query select jsonb_build_object('code', 'queue_in_use', 'queue', p_name, 'inFlight', v_in_flight, 'deadLetterOf', v_buries, 'schedules', v_schedules), true;
      return;
    end if;
    /* A lease that an open transaction just took shows when that ends: wait for it, then look again. */
    if q.storage <> 0 then
      perform pg_advisory_xact_lock(lock_space('storage'), q.storage);
    else
      perform id from message where queue = q.id order by id for update;
    end if;
  end loop;
  /* Before the lock on the storage: a run that is being sent holds its schedule and waits for that. */
  delete from schedule where queue = q.id;
  /* Before it is told who waits for its messages: whoever may still add to them. */
  if q.storage <> 0 then
    perform pg_advisory_xact_lock(lock_space('storage'), q.storage);
  end if;
  update queue set dropped_at = v_now, dead_letter = null where id = q.id;
  update queue set dead_letter = null where dead_letter = q.id;
  /* Also what sends that were open during an earlier drop left behind; older strays are for maintenance. */
  delete from message where queue = any (array(select id from queue where dropped_at > v_now - interval '1 day'));
  delete from floor where storage = q.storage and queue = q.id;
  delete from unique_key where queue = q.id;
  delete from rate_use where queue = q.id;
  delete from dependency where child_queue = q.id;
  perform left_queue(q, null, false);
  if not p_keep_archive then
    execute format('delete from %I where queue = $1', archive_table(q.storage)) using q.id;
  end if;
  if q.storage <> 0 then
    perform drop_storage(q.storage, p_keep_archive);
    if archive_table(q.storage) = 'archive' then
      update queue set storage = 0 where id = q.id;
      delete from storage where id = q.storage;
    end if;
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
    select c from queue, unnest(array['sent_' || id, 'turn_' || id]) c
     where dropped_at < clock() - interval '1 minute' and own_relation(c) is not null limit 100
  loop
    begin
      execute format('drop sequence if exists %I.%I', current_schema(), v_counter);
    exception when lock_not_available or insufficient_privilege then
      null;
    end;
  end loop;
end
$$`,
  `create or replace function {schema}.partition_fault(p jsonb, p_archive_retention text) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select case
    when p is null then null
    when jsonb_typeof(p) <> 'object' or p - '{by,interval,retention,unread,archive}'::text[] <> '{}' then argument_fault('partition', false)
    else coalesce(
    argument_fault('partition.by', p->>'by' in ('id', 'time')),
    argument_fault('partition.interval', partition_measure(p->>'by', p->'interval') >= case p->>'by' when 'time' then 1000 else 1 end),
    argument_fault('partition.retention', partition_measure(p->>'by', p->'retention') >= 0),
    argument_fault('partition.unread', coalesce(p->>'unread', 'keep') in ('keep', 'drop')),
    argument_fault('partition.archive', coalesce(jsonb_typeof(p->'archive'), 'boolean') = 'boolean'),
    argument_fault('archiveRetention', p_archive_retention is null or p->>'archive' is distinct from 'true'))
  end
$$`,
  `/* The first option that there is not, or that cannot be meant, of those that the SQL functions were given; the client knows its own. */
create or replace function {schema}.options_fault(p_options jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select case
    when jsonb_typeof(p_options) is distinct from 'object' then argument_fault('options', false)
    else coalesce(
      (select argument_fault(key, false) from jsonb_object_keys(p_options) key
        where key not in ('levels', 'lease', 'maxAttempts', 'deadLetter', 'notify', 'archiveRetention', 'storage', 'partition', 'backoff', 'done', 'onInvalid', 'results',
          'fifo', 'fair', 'concurrency', 'groupConcurrency', 'rateLimit', 'groupRateLimit') order by key limit 1),
      limits_fault(p_options),
      argument_fault('results', p_options->>'results' is null or partition_measure('time', p_options->'results') > 0),
      argument_fault('backoff', coalesce(jsonb_typeof(p_options->'backoff'), 'null') = 'null' or backoff_wanted(p_options->'backoff') is not null),
      argument_fault('done', coalesce(p_options->>'done', 'delete') in ('delete', 'archive')),
      argument_fault('onInvalid', coalesce(p_options->>'onInvalid', 'raise') in ('deadLetter', 'raise')),
      argument_fault('storage', coalesce(p_options->>'storage', 'shared') in ('shared', 'dedicated', 'unlogged')
        and not (p_options->>'storage' is not distinct from 'shared' and jsonb_typeof(p_options->'partition') is not distinct from 'object')),
      partition_fault(nullif(p_options->'partition', 'null'), p_options->>'archiveRetention'),
      argument_fault('archiveRetention', p_options->>'archiveRetention' is null or partition_measure('time', p_options->'archiveRetention') > 0))
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
  select * into v from try_settle(queue, array[id], array[lease], '[{"to": "release"}]');
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
  `/* An error as it is kept, from whatever a SQL caller calls one. */
create or replace function {schema}.error_document(p_error jsonb) returns jsonb
language sql immutable as $$
  select case when jsonb_typeof(p_error) = 'object' then p_error when p_error <> 'null' then jsonb_build_object('name', 'Error', 'message', p_error #>> '{}') end
$$`,
  `/* delay: null is the queue's backoff. */
create or replace function {schema}.retry(queue text, id bigint, lease bigint, delay interval default null, error jsonb default null) returns text
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('delay', isfinite(coalesce(delay, '0'))));
  select * into v from try_settle(queue, array[id], array[lease],
    jsonb_build_array(jsonb_build_object('to', 'retry', 'delay', extract(epoch from delay) * 1000, 'error', error_document(error))));
  perform raise_fault(coalesce(v.fault, case when v.outcome is null then stale_fault(queue, id) end));
  return v.outcome;
end
$$`,
  `create or replace function {schema}.snooze(queue text, id bigint, lease bigint, delay interval) returns timestamptz
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('delay', isfinite(delay)));
  select * into v from try_settle(queue, array[id], array[lease],
    jsonb_build_array(jsonb_build_object('to', 'snooze', 'delay', extract(epoch from delay) * 1000)));
  perform raise_fault(coalesce(v.fault, case when v.outcome is null then stale_fault(queue, id) end));
  return v.visible_at;
end
$$`,
  `create or replace function {schema}.dead_letter(queue text, id bigint, lease bigint, error jsonb default null) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_settle(queue, array[id], array[lease],
    jsonb_build_array(jsonb_build_object('to', 'dead', 'error', error_document(error))));
  perform raise_fault(coalesce(v.fault, case when v.outcome is null then stale_fault(queue, id) end));
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
  v_more int;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::int;
    return;
  end if;
  execute format('delete from %I where queue = $1', message_table(q.storage)) using q.id;
  get diagnostics v_count = row_count;
  if flipping(q.storage, null) then
    /* What was on its way from one segment to the other. */
    execute format('delete from %I where queue = $1', message_table(q.storage)) using q.id;
    get diagnostics v_more = row_count;
  end if;
  perform left_queue(q, null, false);
  return query select null::jsonb, v_count + coalesce(v_more, 0);
end
$$`,
  `/* 0 of a counter that is dropped in the middle of the statement: metrics of all queues never fail for one of them. */
create or replace function {schema}.last_sent(p_id int) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  return coalesce(pg_sequence_last_value(own_relation('sent_' || p_id)), 0);
exception when undefined_table or internal_error then
  return 0;
end
$$`,
  `create or replace function {schema}.count_messages(q {schema}.queue, p_now timestamptz, p_wait boolean) returns table (
  length bigint, visible bigint, in_flight bigint, delayed bigint, parked bigint, oldest timestamptz, newest timestamptz
)
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
begin
  if q.storage <> 0 then
    if (case when p_wait then hold_storage(q) else hold_if_free(q) end) then
      return query execute format('select * from %I($1, $2, $3)', 'count_messages_s' || q.storage) using q, p_now, p_wait;
    end if;
    return;
  end if;
  return query
    select count(*), count(*) filter (where s.state = 'visible'), count(*) filter (where s.state = 'inFlight'),
           count(*) filter (where s.state = 'delayed'), count(*) filter (where s.state = 'parked'), min(m.enqueued_at), max(m.enqueued_at)
      from message m, lateral (select message_state(m.lease, m.vt, p_now) as state) s
     where m.queue = q.id;
end
$$`,
  `/* Of one queue, or of all where p_queue is null (but one that is just being dropped), each by its own range of the primary key. length counts every row. Ages are of enqueued_at, null where empty. */
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
      join lateral count_messages(q, v_now, p_queue is not null) m on true
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
    'headers', coalesce(m.headers, '{}'), 'payload', m.payload, 'errors', coalesce(m.errors, '[]'), 'key', m.key, 'group', m.group_name,
    'expireAt', extract(epoch from m.expire_at) * 1000,
    'progress', (select jsonb_build_object('value', p.value, 'note', p.note, 'at', extract(epoch from p.at) * 1000) from progress p where p.id = m.id))
$$`,
  `/* Up to p_limit messages of a queue, in the order of the primary key: a page costs what it shows, however long the queue is. */
create or replace function {schema}.messages_of(q {schema}.queue, p_from bigint, p_to bigint, p_state text, p_limit int, p_now timestamptz, p_wait boolean)
returns setof {schema}.message
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
  if q.storage <> 0 then
    if (case when p_wait then hold_storage(q) else hold_if_free(q) end) then
      return query execute format('select * from %I($1, $2, $3, $4, $5, $6, $7)', 'messages_of_s' || q.storage)
        using q, p_from, p_to, p_state, p_limit, p_now, p_wait;
    end if;
    return;
  end if;
  return query
    select * from message m
     where m.queue = q.id and m.id between p_from and p_to and (p_state is null or message_state(m.lease, m.vt, p_now) = p_state)
     order by m.id limit p_limit;
end
$$`,
  `/* p_id, p_queue and p_state narrow the list where they are not null. Only a state is looked for. */
create or replace function {schema}.try_list_messages(p_id bigint, p_queue text, p_state text, p_after bigint, p_limit int)
returns table (fault jsonb, item jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
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
    select null::jsonb, message_info(m, v_now)
      from queue q, lateral messages_of(q, v_from, v_to, p_state, p_limit, v_now, p_queue is not null) m
     where q.dropped_at is null and q.kind = 'work' and (p_queue is null or q.name = p_queue)
     order by m.id limit p_limit;
end
$$`,
  `create or replace function {schema}.try_count_messages(p_queue text, p_state text) returns table (fault jsonb, count bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_now timestamptz := clock();
begin
  if p_queue is not null and not exists (select from queue where name = p_queue and kind = 'work' and dropped_at is null) then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  return query
    select null::jsonb, coalesce(sum(case p_state when 'visible' then c.visible when 'inFlight' then c.in_flight
                                       when 'delayed' then c.delayed when 'parked' then c.parked else c.length end), 0)::bigint
      from queue q, lateral count_messages(q, v_now, p_queue is not null) c
     where q.dropped_at is null and q.kind = 'work' and (p_queue is null or q.name = p_queue);
end
$$`,
  `create or replace function {schema}.archive_info(a {schema}.archive) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object(
    'id', a.id::text, 'queue', (select name from queue where id = a.queue), 'outcome', a.outcome,
    'priority', a.priority, 'attempt', a.attempt, 'enqueuedAt', extract(epoch from a.enqueued_at) * 1000,
    'archivedAt', extract(epoch from a.archived_at) * 1000, 'origin', (select name from queue where id = a.origin),
    'headers', coalesce(a.headers, '{}'), 'payload', a.payload, 'errors', coalesce(a.errors, '[]'), 'key', a.key, 'group', a.group_name)
$$`,
  `/* Of a queue's own archive, or of the shared one; of the whole table where p_queue is null. In the order of an index. */
create or replace function {schema}.archive_of(p_table text, p_queue int, p_from bigint, p_to bigint, p_outcome text, p_limit int)
returns setof {schema}.archive
language plpgsql stable
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
  return query execute format('select * from %s a where %s and a.id between $2 and $3 and ($4 is null or a.outcome = $4) order by a.id limit $5',
    own(p_table), case when p_queue is null then 'a.queue > 0' else 'a.queue = $1' end) using p_queue, p_from, p_to, p_outcome, p_limit;
end
$$`,
  `/* Where archived messages may be: the shared archive whole, and each queue's own; or those of every queue that ever bore a
   name, dropped ones that kept theirs too. */
create or replace function {schema}.archives(p_queue text) returns table (tab text, queue int)
language sql stable set search_path = {schema}, pg_temp as $$
  select 'archive', null::int where p_queue is null
  union all
  select a, q.id from queue q, archive_table(q.storage) a
   where q.kind = 'work' and (p_queue is null and a <> 'archive' or q.name = p_queue)
$$`,
  `create or replace function {schema}.try_list_archive(p_id bigint, p_queue text, p_outcome text, p_after bigint, p_limit int)
returns table (fault jsonb, item jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_from bigint := coalesce(p_id, p_after + 1, 0);
  v_to bigint := coalesce(p_id, 9223372036854775807);
begin
  if p_queue is not null and not exists (select from queue where name = p_queue and kind = 'work') then
    return query select queue_fault(p_queue, 'work'), null::jsonb;
    return;
  end if;
  return query
    select null::jsonb, archive_info(a)
      from archives(p_queue) w, lateral archive_of(w.tab, w.queue, v_from, v_to, p_outcome, p_limit) a
     order by a.id limit p_limit;
end
$$`,
  `create or replace function {schema}.try_count_archive(p_queue text, p_outcome text) returns table (fault jsonb, count bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  w record;
  v_count bigint;
  v_all bigint := 0;
begin
  if p_queue is not null and not exists (select from queue where name = p_queue and kind = 'work') then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  for w in select * from archives(p_queue) loop
    execute format('select count(*) from %s a where ($1 is null or a.queue = $1) and ($2 is null or a.outcome = $2)', own(w.tab))
       into v_count using w.queue, p_outcome;
    v_all := v_all + v_count;
  end loop;
  return query select null::jsonb, v_all;
end
$$`,
  `/* What is ready below the floor is ready as of now: a late commit, a rollback, or what a step of the clock left there. What is
   not ready yet, and below a floor that the clock fell behind, keeps its time: it may be a lease. */
create or replace function {schema}.look_below(q {schema}.queue, p_live smallint[], p_level int, p_floor timestamptz, p_now timestamptz) returns int
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
  v_ids bigint[];
  v_found int;
begin
  if searches_arrays() then
    if p_live = '{0}' then
      v_ids := array(
        select b.id
          from (select m.id from message_0 m
                 where m.queue = q.id and m.priority = p_level and m.vt < 'infinity' and m.vt < p_floor and m.vt <= p_now
                 order by m.vt limit 1000 for update skip locked) b
         order by b.id);
      update message_0 m set vt = p_now
       where m.queue = q.id and m.id = any (v_ids);
    elsif p_live = '{1}' then
      v_ids := array(
        select b.id
          from (select m.id from message_1 m
                 where m.queue = q.id and m.priority = p_level and m.vt < 'infinity' and m.vt < p_floor and m.vt <= p_now
                 order by m.vt limit 1000 for update skip locked) b
         order by b.id);
      update message_1 m set vt = p_now
       where m.queue = q.id and m.id = any (v_ids);
    else
      v_ids := array(
        select b.id
          from (select m.id from message m
                 where m.queue = q.id and m.priority = p_level and m.vt < 'infinity' and m.vt < p_floor and m.vt <= p_now
                 order by m.vt limit 1000 for update skip locked) b
         order by b.id);
      update message m set vt = p_now
       where m.queue = q.id and m.id = any (v_ids);
    end if;
  else
    if p_live = '{0}' then
      v_ids := array(
        select b.id
          from (select m.id from message_0 m
                 where m.queue = q.id and m.priority = p_level and m.vt < 'infinity' and m.vt < p_floor and m.vt <= p_now
                 order by m.vt limit 1000 for update skip locked) b
         order by b.id);
      update message_0 m set vt = p_now
       where m.ctid = any (array(select p.ctid from unnest(v_ids) i(id), lateral (select y.ctid from message_0 y where y.queue = q.id and y.id = i.id offset 0) p))
           and m.id = v_ids[width_bucket(m.id, v_ids)];
    elsif p_live = '{1}' then
      v_ids := array(
        select b.id
          from (select m.id from message_1 m
                 where m.queue = q.id and m.priority = p_level and m.vt < 'infinity' and m.vt < p_floor and m.vt <= p_now
                 order by m.vt limit 1000 for update skip locked) b
         order by b.id);
      update message_1 m set vt = p_now
       where m.ctid = any (array(select p.ctid from unnest(v_ids) i(id), lateral (select y.ctid from message_1 y where y.queue = q.id and y.id = i.id offset 0) p))
           and m.id = v_ids[width_bucket(m.id, v_ids)];
    else
      v_ids := array(
        select b.id
          from (select m.id from message m
                 where m.queue = q.id and m.priority = p_level and m.vt < 'infinity' and m.vt < p_floor and m.vt <= p_now
                 order by m.vt limit 1000 for update skip locked) b
         order by b.id);
      update message m set vt = p_now
       where m.ctid = any (array(select p.ctid from unnest(v_ids) i(id), lateral (select y.ctid from message y where y.queue = q.id and y.id = i.id offset 0) p))
           and m.id = v_ids[width_bucket(m.id, v_ids)];
    end if;
  end if;
  get diagnostics v_found = row_count;
  return v_found;
end
$$`,
  `/* When the first message at or above p_from is ready. Passes those that another transaction left a trace on: who holds one
   for an hour would hold the floor as long, and if he rolls back it is found below. A claim that committed leaves its own. */
create or replace function {schema}.first_ready(q {schema}.queue, p_live smallint[], p_level int, p_from timestamptz) returns timestamptz
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
begin
  if p_live = '{0}' then
    return (select m.vt from message_0 m
             where m.queue = q.id and m.priority = p_level and m.vt < 'infinity' and m.vt >= p_from and (m.xmax = '0'::xid or m.xmax = m.xmin)
             order by m.vt, m.id limit 1);
  elsif p_live = '{1}' then
    return (select m.vt from message_1 m
             where m.queue = q.id and m.priority = p_level and m.vt < 'infinity' and m.vt >= p_from and (m.xmax = '0'::xid or m.xmax = m.xmin)
             order by m.vt, m.id limit 1);
  else
    return (select m.vt from message m
             where m.queue = q.id and m.priority = p_level and m.vt < 'infinity' and m.vt >= p_from and (m.xmax = '0'::xid or m.xmax = m.xmin)
             order by m.vt, m.id limit 1);
  end if;
end
$$`,
  `/* A floor is set where the look at the first message costs pages of dead rows, which a long transaction elsewhere keeps
   vacuum from removing; it is gone again when they are. It never passes a message that can be had, nor, since transactions
   commit late, the time of the sweep before. Returns how many messages lay below. */
create or replace function {schema}.sweep_level(q {schema}.queue, p_live smallint[], p_level int, p_now timestamptz) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  f floor;
  v_found int := 0;
  v_looks boolean;
  v_started timestamptz := clock_timestamp();
  v_before bigint := blocks_fetched(q.storage);
  v_first timestamptz;
  v_costly boolean;
  v_floor timestamptz;
begin
  select * into f from floor where storage = q.storage and queue = q.id and priority = p_level order by version desc limit 1;
  f.vt := coalesce(f.vt, '-infinity');
  v_looks := f.vt > '-infinity' and not p_now between f.looked_at and f.looked_at + 20 * f.look;
  if v_looks then
    v_found := look_below(q, p_live, p_level, f.vt, p_now);
    f.look := clock_timestamp() - v_started;
    f.looked_at := p_now;
  end if;
  if f.vt > '-infinity' and p_now between f.swept_at and f.swept_at + interval '100 milliseconds' then
    return v_found;
  end if;
  v_first := first_ready(q, p_live, p_level, f.vt);
  v_costly := blocks_fetched(q.storage) - v_before > 16;
  if f.vt = '-infinity' then
    if not v_costly then
      return v_found;
    end if;
    v_floor := least(v_first, p_now - interval '1 second');
    f.looked_at := p_now;
    f.look := '0';
  elsif f.vt > p_now or v_looks and v_found = 0 and not v_costly then
    v_floor := '-infinity';
  else
    v_floor := greatest(f.vt, least(v_first, f.swept_at));
  end if;
  insert into floor (storage, queue, priority, vt, swept_at, looked_at, look)
  values (q.storage, q.id, p_level, v_floor, p_now, f.looked_at, f.look);
  /* By its whole key: what was deleted before it may be dead rows that vacuum cannot remove. */
  delete from floor where storage = q.storage and queue = q.id and priority = p_level and version = f.version;
  return v_found;
end
$$`,
  `/* One at a time for each queue; who comes second has nothing to do. */
create or replace function {schema}.sweep(q {schema}.queue) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_now timestamptz := clock();
  v_live smallint[];
  v_found int := 0;
begin
  if q.storage <> 0 then
    execute format('select %I($1)', 'sweep_s' || q.storage) into v_found using q;
    return v_found;
  elsif not pg_try_advisory_xact_lock(lock_space('sweep'), q.id) then
    return 0;
  end if;
  select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
  for v_level in 0 .. q.deepest - 1 loop
    v_found := v_found + sweep_level(q, v_live, v_level, v_now);
  end loop;
  return v_found;
end
$$`,
  `create or replace function {schema}.has_floor(q {schema}.queue) returns boolean
language plpgsql stable set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
begin
  return exists (
    select from generate_series(0, q.deepest - 1) l(level),
                lateral (select vt from floor f where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                          order by f.version desc limit 1) f
     where f.vt > '-infinity');
end
$$`,
  `/* For a read that found nothing: is there something below a floor, or, where no maintenance is at work, in a segment that
   readers do not visit? Then it is ready now. p_blocks: as the read began. */
create or replace function {schema}.found_elsewhere(q {schema}.queue, p_blocks bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  if (blocks_fetched(q.storage) - p_blocks > 16 or has_floor(q)) and sweep(q) > 0 then
    return true;
  end if;
  return not maintained_lately() and (q.grouped_at > clock() - interval '1 day' and regroup(q) > 0 or reopen(q.storage));
end
$$`,
  `/* Whether a round of maintenance began within the last 10 seconds. */
create or replace function {schema}.maintained_lately() returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_ago float8;
begin
  select extract(epoch from clock()) * 1000 - last_value into v_ago from maintained;
  return v_ago between 0 and 10000;
end
$$`,
  `/* A new generation of which segments there are: where sends go, and what readers visit. */
create or replace function {schema}.set_segments(s {schema}.segment, p_current int, p_live smallint[]) returns void
language sql volatile set search_path = {schema}, pg_temp as $$
  insert into segment (storage, generation, current, live, at) values (s.storage, s.generation + 1, p_current, p_live, clock());
  delete from segment where storage = s.storage and generation < s.generation - 100
$$`,
  `/* The table of the segment that sends do not go to. */
create or replace function {schema}.other_leaf(s {schema}.segment) returns text
language sql stable set search_path = {schema}, pg_temp as $$ select message_table(s.storage) || '_' || 1 - s.current $$`,
  `/* A message in a segment that readers no longer visit: its sender looked up the segment before a flip and came after it. The
   readers are sent back. */
create or replace function {schema}.reopen(p_storage int) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_indexscan = off as $$
declare
  s segment;
  v_other text;
  v_found boolean;
begin
  select * into s from segment where storage = p_storage order by generation desc limit 1;
  v_other := other_leaf(s);
  if cardinality(s.live) > 1 or coalesce(pg_relation_size(own_relation(v_other)), 0) = 0
     or not pg_try_advisory_xact_lock(lock_space('flip'), p_storage) then
    return false;
  elsif s.generation <> (select max(generation) from segment where storage = p_storage) then
    return true; -- somebody was faster
  end if;
  execute format('select exists (select from only %I)', v_other) into v_found;
  if v_found then
    perform set_segments(s, s.current, '{0,1}');
  end if;
  return v_found;
end
$$`,
  `/* One step of a flip, in a transaction of its own; which one follows from what is there, so that whoever comes next carries
   on. A flip sends new messages to the other segment, moves the old one's over, sends readers away from it, and truncates
   it: dead rows are gone then, whatever the horizon of the oldest transaction is. p_after: where the last move ended. */
create or replace function {schema}.flip_step(p_storage int, p_dead int default 20000, p_pause interval default '5 seconds', p_after tid default null)
returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  s segment;
  v_other text;
begin
  if isolation_fault() is not null then
    return jsonb_build_object('fault', isolation_fault());
  end if;
  if not pg_try_advisory_xact_lock(lock_space('flip'), p_storage)
     or p_storage <> 0 and not pg_try_advisory_xact_lock_shared(lock_space('storage'), p_storage) then
    return '{"did": "busy"}';
  end if;
  select * into s from segment where storage = p_storage order by generation desc limit 1;
  v_other := other_leaf(s);
  if own_relation(v_other) is null then
    return '{"did": "nothing"}';
  elsif cardinality(s.live) > 1 then
    return flip_move(s, v_other, p_after);
  elsif pg_relation_size(own_relation(v_other)) > 0 then
    return flip_truncate(s, v_other);
  elsif flip_pays(s, p_dead, p_pause) then
    perform set_segments(s, 1 - s.current, '{0,1}');
    return '{"did": "begun"}';
  end if;
  return '{"did": "nothing"}';
end
$$`,
  `/* Vacuum does not keep up, or has not come yet: then the flip does its work. Moving what is alive costs less than half of
   what is dead. Statistics come late: of an empty leaf they may still tell what was in it before it was truncated. */
create or replace function {schema}.flip_pays(s {schema}.segment, p_dead int, p_pause interval) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_leaf regclass := own_relation(message_table(s.storage) || '_' || s.current);
  v_dead bigint := pg_stat_get_dead_tuples(v_leaf);
begin
  return pg_relation_size(v_leaf) > 0 and v_dead > p_dead and v_dead > 2 * pg_stat_get_live_tuples(v_leaf) and not clock() between s.at and s.at + p_pause;
end
$$`,
  `/* Moves up to 500 messages by delete and insert: an update of the segment would fail who waits for the row. When there is
   none left, readers leave the old segment. For its first seconds a flip waits for those who hold a write lock on it, whose
   messages would come to light later; no longer, since settles hold one too, and there may always be some. */
create or replace function {schema}.flip_move(s {schema}.segment, p_other text, p_after tid) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set enable_indexscan = off as $$
declare
  v_count int;
  v_last tid;
  v_left boolean;
  v_columns text := (select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
    where attrelid = 'message'::regclass and attnum > 0 and not attisdropped and attname <> 'segment');
begin
  execute format('with found as materialized (select ctid as at from only %1$I where ctid > coalesce($1, ''(0,0)'') limit 500 for update skip locked),
      gone as (delete from only %1$I where ctid = any (array(select at from found)) returning *),
      come as (insert into %2$I (segment, %3$s) select $2, %3$s from gone)
    select count(*), max(at) from found', p_other, message_table(s.storage), v_columns) into v_count, v_last using p_after, s.current;
  if v_count > 0 or p_after is not null then
    return jsonb_build_object('did', 'moved', 'count', v_count, 'after', v_last);
  end if;
  execute format('select exists (select from only %I)', p_other) into v_left;
  if v_left or clock() between s.at and s.at + interval '5 seconds' and exists (select from pg_locks where relation = own_relation(p_other) and database = (select oid from pg_database where datname = current_database())
                        and mode = 'RowExclusiveLock' and pid <> pg_backend_pid()) then
    return '{"did": "waits"}';
  end if;
  perform set_segments(s, s.current, array[s.current]);
  return '{"did": "drained"}';
end
$$`,
  `/* Asks for the lock for 50 ms at most: meanwhile everybody queues behind. Empty is what counts, seen under the lock. */
create or replace function {schema}.flip_truncate(s {schema}.segment, p_other text) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set lock_timeout = '50ms' as $$
declare
  v_locked boolean := true;
  v_left boolean;
begin
  begin
    execute format('lock table only %I in access exclusive mode', p_other);
  exception when lock_not_available then
    v_locked := false;
  end;
  execute format('select exists (select from only %I)', p_other) into v_left;
  if v_left then
    perform set_segments(s, s.current, '{0,1}');
    return '{"did": "reopened"}';
  elsif not v_locked then
    return '{"did": "refused"}';
  end if;
  execute format('truncate only %I', p_other);
  perform pg_stat_force_next_flush();
  return '{"did": "truncated"}';
end
$$`,
  `/* The functions that name the message table, and each other. A dedicated storage has its own of each, so that its plans are
   as static as the shared one's. */
create or replace function {schema}.storage_functions() returns text[]
language sql immutable as $$ select '{try_send,try_send_batch,lock_ready,dead_ahead,try_read,try_pop,try_delete,try_archive,try_settle,try_set_vt,try_lock,keep,next_group,held_of,lock_group,group_left,queue_left,lock_grouped,look_below,first_ready,sweep_level,sweep,found_elsewhere,messages_of,count_messages}'::text[] $$`,
  `/* The functions of a storage, made from the shared ones: other tables, other names, and a call that was passed on to its
   storage has arrived. Only the name and the body change: the schema may be called what a table is. */
create or replace function {schema}.cloned(p_storage int) returns table (signature text, definition text)
language plpgsql stable set search_path = {schema}, pg_temp set standard_conforming_strings = on as $$
#variable_conflict use_column
declare
  v_names text := array_to_string(storage_functions(), '|');
  v_archive text := archive_table(p_storage);
  f record;
  v_body text;
  v_text text;
begin
  for f in
    select proname, prosrc, pg_get_functiondef(oid) as definition, pg_get_function_identity_arguments(oid) as arguments
      from pg_proc where pronamespace = own_schema() and proname = any (storage_functions()) order by proname
  loop
    v_body := regexp_replace(f.prosrc, '\\m(' || v_names || ')\\(', '\\1_s' || p_storage || '(', 'g');
    v_body := regexp_replace(v_body, '\\mmessage(_[01])?\\M', 'message_s' || p_storage || '\\1', 'g');
    v_body := regexp_replace(v_body, '\\mq\\.storage <> 0\\M', 'q.storage <> ' || p_storage, 'g');
    v_body := regexp_replace(v_body, '\\marchive( \\(queue|\\.id)', v_archive || '\\1', 'g');
    v_text := replace(f.definition, own(f.proname) || '(', own(f.proname || '_s' || p_storage) || '(');
    v_text := replace(replace(v_text, f.prosrc, v_body), E'\\n SECURITY DEFINER', '');
    return query select format('%I(%s)', f.proname || '_s' || p_storage, f.arguments), v_text;
  end loop;
end
$$`,
  `create or replace function {schema}.clone_functions(p_storage int) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  f record;
begin
  for f in select * from cloned(p_storage) loop
    execute f.definition;
    execute format('revoke all on function %s from public', f.signature);
  end loop;
end
$$`,
  `/* For verify: what is missing or changed in dedicated storages and streams. */
create or replace function {schema}.storage_differences() returns setof text
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  s storage;
begin
  for s in select st.* from storage st join queue q on q.storage = st.id where st.id <> 0 and q.dropped_at is null order by st.id loop
    return query select format('table %s: missing', t) from (values
        (message_table(s.id)), (message_table(s.id) || '_0'), (case s.layout when 'ring' then message_table(s.id) || '_1' end),
        (case when s.layout <> 'ring' then message_table(s.id) || '_0_default' end),
        (case when s.own_archive then archive_table(s.id) end)) as tables(t) where t is not null and own_relation(t) is null;
    return query select format('index %s: missing', i) from (values
        (message_table(s.id) || '_pkey'), (message_table(s.id) || '_claim'), (message_table(s.id) || '_group_order'),
        (message_table(s.id) || '_group_ready'), (message_table(s.id) || '_group_held')) as indexes(i) where own_relation(i) is null;
    return query select format('function %s: %s', c.signature, case when p.oid is null then 'missing' else 'is not as its like of the shared storage' end)
      from cloned(s.id) c left join pg_proc p on p.pronamespace = own_schema()
                                          and format('%I(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) = c.signature
     where p.oid is null or pg_get_functiondef(p.oid) <> c.definition;
  end loop;
  return query select event_table_differences();
end
$$`,
  `/* Ids of a dedicated storage are its own, from its number on: unique in the installation, and an interval counts its messages. */
create or replace function {schema}.first_id(p_storage int) returns bigint
language sql immutable as $$ select p_storage::bigint << 40 $$`,
  `create or replace function {schema}.create_storage(p_wanted {schema}.storage) returns int
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s storage;
  v_table text;
  v_kind text := case when p_wanted.unlogged then 'unlogged' else '' end;
begin
  insert into storage (layout, unlogged, width, keep, unread, own_archive)
  values (p_wanted.layout, p_wanted.unlogged, p_wanted.width, p_wanted.keep, p_wanted.unread, p_wanted.own_archive)
  returning * into s;
  v_table := message_table(s.id);
  execute format('create sequence %I minvalue %s', 'message_id_s' || s.id, first_id(s.id));
  execute format('create table %I (like message including defaults, primary key (queue, id, segment%s)) partition by list (segment)',
    v_table, case when s.layout = 'time' then ', enqueued_at' end);
  execute format('alter table %I alter id set default nextval(%L)', v_table, format('%I.%I', current_schema(), 'message_id_s' || s.id));
  execute format('create index %I on %I (queue, priority, vt, id) where vt < ''infinity''', v_table || '_claim', v_table);
  execute format('create index %I on %I (queue, grp, id) where grp is not null', v_table || '_group_order', v_table);
  execute format('create index %I on %I (queue, grp, priority, vt, id) where grp is not null and isfinite(vt)', v_table || '_group_ready', v_table);
  execute format('create index %I on %I (queue, grp) where grp is not null and lease is not null', v_table || '_group_held', v_table);
  if s.layout = 'ring' then
    execute format('create %s table %I partition of %I for values in (0) %s', v_kind, v_table || '_0', v_table, leaf_settings());
    execute format('create %s table %I partition of %I for values in (1) %s', v_kind, v_table || '_1', v_table, leaf_settings());
  else
    execute format('create table %I partition of %I for values in (0) partition by range (%I)', v_table || '_0', v_table,
      case s.layout when 'id' then 'id' else 'enqueued_at' end);
    execute format('create %s table %I partition of %I default %s', v_kind, v_table || '_0_default', v_table || '_0', leaf_settings());
    execute format('create index on %I (%I)', v_table || '_0_default', case s.layout when 'id' then 'id' else 'enqueued_at' end);
  end if;
  if s.own_archive then
    execute format('create table %I (like archive including defaults including constraints) partition by range (%I)',
      'archive_s' || s.id, case s.layout when 'id' then 'id' else 'archived_at' end);
    execute format('create table %I partition of %I default', format('archive_s%s_default', s.id), 'archive_s' || s.id);
    execute format('create index on %I (%I)', format('archive_s%s_default', s.id), case s.layout when 'id' then 'id' else 'archived_at' end);
    execute format('create index %I on %I (queue, id)', format('archive_s%s_message', s.id), 'archive_s' || s.id);
    execute format('create index %I on %I (queue, id) where outcome = ''dead''', format('archive_s%s_dead', s.id), 'archive_s' || s.id);
  end if;
  insert into segment (storage, generation, current, live, at) values (s.id, 1, 0, '{0}', clock());
  perform clone_functions(s.id);
  perform make_range(parent, n, false) from partition_steps(s.id) where step = 'make';
  return s.id;
end
$$`,
  `create or replace function {schema}.leaf_settings() returns text
language sql immutable as $$
  select 'with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0)'
$$`,
  `/* Its archive may outlive the rest. */
create or replace function {schema}.drop_storage(p_storage int, p_keep_archive boolean) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_function text;
begin
  for v_function in
    select format('%I(%s)', proname, pg_get_function_identity_arguments(oid)) from pg_proc
     where pronamespace = own_schema() and proname in (select unnest(storage_functions()) || '_s' || p_storage)
  loop
    execute 'drop function ' || v_function;
  end loop;
  execute format('drop table %I', message_table(p_storage));
  execute format('drop sequence %I', 'message_id_s' || p_storage);
  delete from segment where storage = p_storage;
  if not p_keep_archive and archive_table(p_storage) <> 'archive' then
    execute format('drop table %I', archive_table(p_storage));
    update storage set own_archive = false where id = p_storage;
  end if;
end
$$`,
  `/* What is cut into ranges: the archive, a day each, and dedicated storages that ask for it. n counts ranges from origin on;
   now: the range that is being written to. Values are ids, or milliseconds. p_storage: only its own. */
create or replace function {schema}.partitioned(p_storage int default null) returns table (
  parent text, storage int, is_archive boolean, measure text, field text, origin bigint, width bigint, keep bigint, unread text, unlogged boolean, now bigint, ahead int
)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  v_now bigint := extract(epoch from clock()) * 1000;
  s storage;
  v_next bigint;
  v_ahead int;
begin
  return query select 'archive', 0, true, 'time', 'archived_at', 0::bigint, 86400000::bigint, null::bigint, 'keep', false, v_now / 86400000, 2
    where coalesce(p_storage, 0) = 0;
  for s in select * from storage where layout <> 'ring' and (p_storage is null or id = p_storage) order by id loop
    v_next := null;
    v_ahead := least(greatest(2, 2 * s.pace), 100);
    if own_relation('message_id_s' || s.id) is not null then
      execute format('select last_value - %s + case when is_called then 1 else 0 end from %s', first_id(s.id), own('message_id_s' || s.id)) into v_next;
    end if;
    if v_next is not null then
      return query select message_table(s.id) || '_0', s.id, false, s.layout, case s.layout when 'id' then 'id' else 'enqueued_at' end,
        case s.layout when 'id' then first_id(s.id) else 0 end, s.width, s.keep, s.unread, s.unlogged,
        case s.layout when 'id' then v_next else v_now end / s.width, v_ahead;
    end if;
    if s.own_archive then
      return query select 'archive_s' || s.id, s.id, true, s.layout, case s.layout when 'id' then 'id' else 'archived_at' end,
        case s.layout when 'id' then first_id(s.id) else 0 end, s.width, s.keep, 'drop', false,
        case s.layout when 'id' then coalesce(v_next, 0) else v_now end / s.width, v_ahead;
    end if;
  end loop;
end
$$`,
  `/* Whose table it is that is cut into ranges; -1 where there is none of this name. */
create or replace function {schema}.storage_of(p_parent text) returns int
language sql stable set search_path = {schema}, pg_temp as $$
  select coalesce((select id from storage where p_parent in (message_table(id) || '_0', 'archive_s' || id)), case p_parent when 'archive' then 0 else -1 end)
$$`,
  `create or replace function {schema}.range_bound(p_by text, p_value bigint) returns text
language sql immutable set datestyle = iso set timezone = utc as $$
  select case p_by when 'id' then p_value::text else (timestamptz 'epoch' + p_value * interval '1 millisecond')::text end
$$`,
  `/* What is due: make the ranges of now and of those ahead; move rows of past ranges out of the default partition; drop past
   ranges that are empty, or whose time is over. Only looks; each step is a transaction of its own. */
create or replace function {schema}.partition_steps(p_storage int default null) returns table (step text, parent text, n bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  p record;
  v_position text;
  v_past bigint;
begin
  for p in select * from partitioned(p_storage) loop
    return query
      select 'make', p.parent, k from generate_series(p.now, p.now + p.ahead) k where own_relation(p.parent || '_p' || k) is null;
    /* A minute late: nobody is on his way there any more. */
    v_past := case p.measure when 'id' then p.now else ((extract(epoch from clock()) - 60) * 1000)::bigint / p.width end;
    v_position := case p.measure when 'id' then 'id' else format('(extract(epoch from %I) * 1000)::bigint', p.field) end;
    return query execute format('select ''move'', %L, k from (select distinct (%s - $1) / $2 as k from only %s where %s >= $1) d where k < $3 order by k',
      p.parent, v_position, own(p.parent || '_default'), v_position) using p.origin, p.width, v_past;
    return query
      select 'drop', p.parent, k from (
        select substr(c.relname, length(p.parent) + 3)::bigint as k
          from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = own_relation(p.parent) and c.relname ~ '_p[0-9]+$') r
       where k < p.now and range_may_go(p.parent, k) order by k;
  end loop;
end
$$`,
  `/* Its time is over, or nothing is in it. */
create or replace function {schema}.range_may_go(p_parent text, p_n bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  p record;
  v_over boolean;
  v_any boolean;
begin
  select * into p from partitioned(storage_of(p_parent)) where parent = p_parent;
  v_over := p.keep is not null and (p_n + 1) * p.width <= case p.measure
    when 'id' then p.now * p.width else extract(epoch from clock()) * 1000 end - p.keep;
  if v_over and p.unread = 'drop' then
    return true;
  elsif p_parent = 'archive' and expired(p_n) then
    return true;
  end if;
  execute format('select exists (select from only %s)', own(p_parent || '_p' || p_n)) into v_any;
  return not v_any;
end
$$`,
  `/* Whether every queue with messages in this day of the archive keeps them no longer. By an index, from queue to queue. */
create or replace function {schema}.expired(p_day bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  v_queue int := 0;
begin
  loop
    execute format('select min(queue) from only %s where queue > $1', own('archive_p' || p_day)) into v_queue using v_queue;
    exit when v_queue is null;
    if not exists (select from queue where id = v_queue and clock() - archive_retention >= timestamptz 'epoch' + (p_day + 1) * interval '1 day') then
      return false;
    end if;
  end loop;
  return true;
end
$$`,
  `/* One step, as partition_steps found it, in a transaction of its own; what cannot be due is not done. A lock that is not had
   within 50 ms is asked for again another time. count: rows that were moved, or dropped. */
create or replace function {schema}.partition_step(p_step text, p_parent text, p_n bigint) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set lock_timeout = '50ms' as $$
declare
  p record;
  v_count bigint;
begin
  if isolation_fault() is not null then
    return jsonb_build_object('fault', isolation_fault());
  end if;
  select * into p from partitioned(storage_of(p_parent)) where parent = p_parent;
  if (case p_step when 'make' then p_n between p.now and p.now + p.ahead
                  when 'move' then p_n between 0 and p.now - 1
                  when 'drop' then p_n between 0 and p.now - 1 end) is not true or not pg_try_advisory_xact_lock(lock_space('partitions'), 0) then
    return '{"did": "nothing"}';
  end if;
  v_count := case p_step when 'drop' then drop_range(p_parent, p_n) else make_range(p_parent, p_n, p_step = 'move') end;
  return case when v_count is null then '{"did": "nothing"}'::jsonb
    else jsonb_build_object('did', p_step, 'table', p_parent || '_p' || p_n, 'count', v_count) end;
exception when lock_not_available then
  return '{"did": "refused"}';
end
$$`,
  `/* Null where there is nothing to do. Rows of this range in the default partition hinder it unless they are moved along, which
   is for ranges that are past: the default partition is locked meanwhile. Who is about to write to this range may already be on
   his way to the default partition, and would be refused after the range is attached; so where he may exist the parent is
   locked first, which lets nobody wait half-way. */
create or replace function {schema}.make_range(p_parent text, p_n bigint, p_move boolean) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  p record;
  v_table text := p_parent || '_p' || p_n;
  v_default text := own(p_parent || '_default');
  v_from text;
  v_to text;
  v_any boolean;
  v_count bigint := 0;
begin
  if own_relation(v_table) is not null then
    return null;
  end if;
  select * into p from partitioned(storage_of(p_parent)) where parent = p_parent;
  v_from := range_bound(p.measure, p.origin + p_n * p.width);
  v_to := range_bound(p.measure, p.origin + (p_n + 1) * p.width);
  if p.measure = 'id' or p_n = p.now then
    execute format('lock table only %s in access exclusive mode', own(p_parent));
  end if;
  execute format('lock table only %s in access exclusive mode', v_default);
  execute format('select exists (select from only %1$s where %2$I >= %3$L and %2$I < %4$L)', v_default, p.field, v_from, v_to) into v_any;
  if v_any <> p_move then
    return null;
  end if;
  execute format('create %s table %s (like %s including defaults including constraints) %s', case when p.unlogged then 'unlogged' else '' end,
    own(v_table), own(p_parent), case when p.is_archive then '' else leaf_settings() end);
  if v_any then
    execute format('with gone as (delete from only %1$s where %2$I >= %3$L and %2$I < %4$L returning *) insert into %5$s select * from gone',
      v_default, p.field, v_from, v_to, own(v_table));
    get diagnostics v_count = row_count;
    /* Who took the time while this range was not past yet; asked for last, since a move may take long. */
    execute format('lock table only %s in access exclusive mode', own(p_parent));
  end if;
  execute format('alter table %s attach partition %s for values from (%L) to (%L)', own(p_parent), own(v_table), v_from, v_to);
  return v_count;
end
$$`,
  `/* What is in it is counted under its lock, and goes only if it may. The parent is locked last, and for no longer than the drop
   takes: everybody who writes to the table needs it. */
create or replace function {schema}.drop_range(p_parent text, p_n bigint) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_table text := p_parent || '_p' || p_n;
  v_count bigint;
  q queue;
  v_ids bigint[];
begin
  if own_relation(v_table) is null then
    return null;
  end if;
  execute format('lock table only %s in access exclusive mode', own(v_table));
  if not range_may_go(p_parent, p_n) then
    return null;
  end if;
  execute format('select count(*) from only %s', own(v_table)) into v_count;
  select * into q from queue where storage = storage_of(p_parent) and dropped_at is null;
  execute format('select array(select d.parent from dependency d where d.queue = $1 and exists (select from only %s m where m.id = d.parent))', own(v_table))
     into v_ids using q.id;
  execute format('lock table only %s in access exclusive mode', own(p_parent));
  execute format('drop table %s', own(v_table));
  if v_ids <> '{}' and p_parent not like 'archive%' then
    perform release_dependants(q, v_ids, false);
  end if;
  return v_count;
end
$$`,
  `/* Deletes up to p_limit archived messages whose queue keeps them no longer, whole days of them: what is kept is never looked at. */
create or replace function {schema}.expire_archive(p_limit int default 5000) returns int
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  q record;
  v_count int := 0;
  v_gone int;
begin
  for q in select id, date_trunc('day', clock() - archive_retention, 'UTC') as cutoff from queue where archive_retention is not null loop
    exit when v_count >= p_limit;
    delete from archive where (queue, id, archived_at) in (
      select a.queue, a.id, a.archived_at from archive a where a.queue = q.id and a.archived_at < q.cutoff limit p_limit - v_count);
    get diagnostics v_gone = row_count;
    v_count := v_count + v_gone;
  end loop;
  return v_count;
end
$$`,
  `/* The quick part of a round: sweeps the queues that have a floor and says which storages have a flip to begin or to carry on, and
   which streams a tick or a rotation that is due.
   One process at a time, and none before p_pause is over since the last round of any. With p_after, the next 200 queues are
   swept instead, floor or not; next: from where to go on, and the flips come with the last page. Nobody waits for a queue that is just being dropped. */
create or replace function {schema}.maintain(p_pause interval, p_after int, p_dead int, p_flip_pause interval) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  v_now bigint := extract(epoch from clock()) * 1000;
  v_last bigint;
  q queue;
  v_storage int := 2147483647;
  v_queue int := 0;
  v_found int := 0;
  v_swept int := 0;
  v_next int;
begin
  if isolation_fault() is not null then
    return jsonb_build_object('fault', isolation_fault());
  end if;
  select last_value into v_last from maintained;
  if v_now between v_last and v_last + extract(epoch from p_pause) * 1000 - 1 or not pg_try_advisory_xact_lock(lock_space('maintenance'), 0) then
    return '{"busy": true}';
  end if;
  perform set_config('synchronous_commit', 'off', true);
  perform setval('maintained', v_now);
  if p_after is not null then
    for q in select * from queue where id > p_after and kind = 'work' and dropped_at is null order by id limit 200 loop
      v_next := q.id;
      v_found := v_found + case when hold_if_free(q) then sweep(q) else 0 end;
      v_swept := v_swept + has_floor(q)::int;
    end loop;
  else
    loop
      /* From the newest row of one queue to the newest of the next: older ones may be dead rows that vacuum cannot remove. */
      select f.storage, f.queue into v_storage, v_queue from floor f where (f.storage, f.queue) < (v_storage, v_queue)
       order by f.storage desc, f.queue desc, f.priority desc, f.version desc limit 1;
      exit when not found;
      select * into q from queue where id = v_queue and dropped_at is null;
      if found and has_floor(q) and hold_if_free(q) then
        v_found := v_found + sweep(q);
        v_swept := v_swept + 1;
      end if;
    end loop;
  end if;
  return jsonb_build_object('busy', false, 'swept', v_swept, 'found', v_found, 'next', v_next, 'streams', case when v_next is null then due_streams() end, 'flips', (
    select coalesce(jsonb_agg(s.id order by s.id), '[]') from storage s
     where v_next is null and s.layout = 'ring' and flip_wanted(s.id, p_dead, p_flip_pause)));
end
$$`,
  `create or replace function {schema}.flip_wanted(p_storage int, p_dead int, p_pause interval) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  s segment;
begin
  select * into s from segment where storage = p_storage order by generation desc limit 1;
  return cardinality(s.live) > 1
      or pg_relation_size(own_relation(other_leaf(s))) > 0
      or flip_pays(s, p_dead, p_pause);
end
$$`,
  `/* Messages that a sender left in a queue dropped meanwhile, counters of dropped queues, notes of cancellations whose message is
   gone, and workers that are. */
create or replace function {schema}.clear_leftovers(p_limit int default 5000) returns int
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_count int;
begin
  delete from message where (queue, id) in (
    select m.queue, m.id from queue q, lateral (select queue, id from message where queue = q.id limit p_limit) m
     where q.dropped_at < clock() - interval '1 minute' limit p_limit);
  get diagnostics v_count = row_count;
  perform drop_counters();
  perform clear_cancellations();
  perform clear_keys();
  perform clear_results();
  perform clear_rates();
  perform regroup(q) from queue q where q.grouped_at > clock() - interval '1 day' and q.dropped_at is null and hold_if_free(q);
  delete from worker where beat_at < clock() - case state when 'stopped' then interval '1 hour' else greatest(interval '1 day', 3 * every) end;
  return v_count;
end
$$`,
  `/* The steps of the slow part of a round, for who drives it. */
create or replace function {schema}.due_partitions() returns jsonb
language sql volatile set search_path = {schema}, pg_temp as $$
  update storage s set seen = p.now, pace = greatest(p.now - s.seen, s.pace / 2)
    from partitioned() p where s.layout = 'id' and p.storage = s.id and not p.is_archive;
  select coalesce(jsonb_agg(jsonb_build_object('step', step, 'parent', parent, 'n', n)), '[]') from partition_steps()
$$`,
  `/* By id alone, whoever holds the lease: that lease is stale then. For operators; a reader settles with its lease. */
create or replace function {schema}.try_admin_delete(p_queue text, p_ids bigint[]) returns table (fault jsonb, id bigint)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  q queue;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  /* Twice while messages are moved from one segment to the other: the second statement sees where. */
  for v_pass in 1 .. case when flipping(q.storage, null) then 2 else 1 end loop
    return query execute format('delete from %I m where m.queue = $1 and m.id = any ($2) returning null::jsonb, m.id', message_table(q.storage))
      using q.id, p_ids;
  end loop;
  perform left_queue(q, p_ids, false);
end
$$`,
  `create or replace function {schema}.try_admin_archive(p_queue text, p_ids bigint[]) returns table (fault jsonb, id bigint)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  for v_pass in 1 .. case when flipping(q.storage, null) then 2 else 1 end loop
    return query execute format('with gone as (delete from %I m where m.queue = $1 and m.id = any ($2) returning m.*)
      insert into %I as a (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key)
      select queue, id, $3, ''done'', priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key from gone
      returning null::jsonb, a.id', message_table(q.storage), archive_table(q.storage)) using q.id, p_ids, v_now;
  end loop;
  perform left_queue(q, p_ids, true);
end
$$`,
  `/* Takes the lease away too: what its holder does next is refused. */
create or replace function {schema}.try_admin_set_vt(p_queue text, p_id bigint, p_at timestamptz, p_delay interval)
returns table (fault jsonb, visible_at timestamptz)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  q queue;
  v_now timestamptz := clock();
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::timestamptz;
    return;
  end if;
  for v_pass in 1 .. case when flipping(q.storage, null) then 2 else 1 end loop
    return query execute format('update %I m set vt = greatest($3, $4, $3 + $5), lease = null where m.queue = $1 and m.id = $2
      returning null::jsonb, m.vt', message_table(q.storage)) using q.id, p_id, v_now, p_at, p_delay;
    exit when found;
  end loop;
end
$$`,
  `/* For SQL: true where there was such a message. */
create or replace function {schema}.admin_delete(queue text, id bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_admin_delete(queue, array[id]);
  perform raise_fault(v.fault);
  return v.id is not null;
end
$$`,
  `create or replace function {schema}.admin_archive(queue text, id bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_admin_archive(queue, array[id]);
  perform raise_fault(v.fault);
  return v.id is not null;
end
$$`,
  `/* The new time, or null where there is no such message. */
create or replace function {schema}.admin_set_vt(queue text, id bigint, delay interval) returns timestamptz
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('delay', isfinite(delay)));
  select * into v from try_admin_set_vt(queue, id, null, delay);
  perform raise_fault(v.fault);
  return v.visible_at;
end
$$`,
  `/* What a worker finished, in one statement: those that are done are deleted or archived, as the queue says; of the others p_what
   tells what becomes of them, as in try_settle. p_results: what the handlers returned for those that are done, where the queue keeps
   it. Who is not in the answer no longer held the message. */
create or replace function {schema}.try_finish(
  p_queue text, p_done_ids bigint[], p_done_leases bigint[], p_results jsonb, p_ids bigint[], p_leases bigint[], p_what jsonb
) returns table (fault jsonb, id bigint, outcome text, visible_at timestamptz)
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  q queue;
  v_fault jsonb;
  v_done bigint[];
begin
  if p_done_ids <> '{}' then
    select * into q from queue where name = p_queue and dropped_at is null;
    if q.done = 'archive' then
      select (array_agg(d.fault))[1], array_agg(d.id) into v_fault, v_done from try_archive(p_queue, p_done_ids, p_done_leases) d;
    else
      select (array_agg(d.fault))[1], array_agg(d.id) into v_fault, v_done from try_delete(p_queue, p_done_ids, p_done_leases) d;
    end if;
    if v_fault is null and q.result_retention is not null then
      perform keep_results(q, v_done, 'done', (select jsonb_agg(p_results->(width_bucket(u.id, p_done_ids) - 1) order by u.n) from unnest(v_done) with ordinality u(id, n)), null, clock());
    end if;
    return query select v_fault, u.id, 'done', null::timestamptz from unnest(v_done) u(id);
  end if;
  if p_ids <> '{}' then
    return query select * from try_settle(p_queue, p_ids, p_leases, p_what);
  end if;
end
$$`,
  `/* A sign of life, and what a worker must know: one statement for all that it holds. p_worker: {name, hostname, port, queues, every},
   every and lease in milliseconds; by default, every third of the shortest lease. p_held: of each queue {ids, leases, lease}, ids ascending. Extends only leases that would end
   before the beat after the next, so that a handler shorter than a beat costs nothing. Answers the state that the worker was told to be in, its
   queues as far as they are there, and of the messages those that are lost and those that were cancelled. */
create or replace function {schema}.beat(p_worker jsonb, p_held jsonb, p_starting boolean default false) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_now timestamptz := clock();
  v_every interval := coalesce((p_worker->>'every')::float8 * interval '1 millisecond', beat_interval(p_held));
  v_state text;
  v_queue text;
  v_all jsonb;
  v_ids bigint[];
  q queue;
  v_queues jsonb := '{}';
  v_lost bigint[] := '{}';
  v_cancelled bigint[] := '{}';
  v_fault jsonb := isolation_fault();
begin
  if v_fault is null and p_starting then
    v_fault := (select f from jsonb_object_keys(p_held) k, missing_queue_fault(k) f where f is not null order by k limit 1);
  end if;
  if v_fault is not null then
    return jsonb_build_object('fault', v_fault);
  end if;
  perform set_config('synchronous_commit', 'off', true);
  v_state := stamp_worker(p_worker, v_every, p_held, p_starting, v_now);
  for v_queue, v_all in select * from jsonb_each(p_held) order by key loop
    select * into q from queue where name = v_queue and kind = 'work' and dropped_at is null;
    v_ids := array(select jsonb_array_elements_text(v_all->'ids'))::bigint[];
    if q.id is null then
      v_lost := v_lost || v_ids;
      continue;
    end if;
    v_queues := v_queues || jsonb_build_object(q.name, jsonb_build_object(
      'paused', q.paused_at is not null, 'lease', extract(epoch from q.lease) * 1000, 'onInvalid', q.on_invalid, 'results', q.result_retention is not null));
    if v_ids <> '{}' then
      v_lost := v_lost || keep(q, v_ids, array(select jsonb_array_elements_text(v_all->'leases'))::bigint[], v_now + 2 * v_every,
        v_now + coalesce((v_all->>'lease')::float8 * interval '1 millisecond', q.lease));
      v_cancelled := v_cancelled || array(select c.id from cancellation c where c.queue = q.id and c.id = any (v_ids));
    end if;
  end loop;
  return jsonb_build_object('state', v_state, 'every', extract(epoch from v_every) * 1000, 'queues', v_queues, 'lost', to_jsonb(v_lost::text[]), 'cancelled', to_jsonb(v_cancelled::text[]));
end
$$`,
  `/* A third of the shortest lease, but 10 seconds at most, however long the leases are: a beat also brings what the worker is told. */
create or replace function {schema}.beat_interval(p_held jsonb) returns interval
language sql stable set search_path = {schema}, pg_temp set enable_seqscan = off as $$
  select greatest(interval '20 milliseconds', least(interval '10 seconds', min(coalesce((h.value->>'lease')::float8 * interval '1 millisecond', q.lease, '30 seconds')) / 3))
    from jsonb_each(p_held) h left join queue q on q.name = h.key and q.kind = 'work' and q.dropped_at is null
$$`,
  `/* A row that somebody purged is there again. One that reads stopped, though it beats, was given up for dead while it was to stop, and still is;
   or another process of this name has left. */
create or replace function {schema}.stamp_worker(p_worker jsonb, p_every interval, p_held jsonb, p_starting boolean, p_now timestamptz) returns text
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_state text;
  v_held int := coalesce((select sum(jsonb_array_length(value->'ids')) from jsonb_each(p_held)), 0);
begin
  if not p_starting then
    update worker set beat_at = p_now, every = p_every, held = v_held,
      state = case when state <> 'stopped' then state when shutdown_at is null then 'running' else 'stopping' end where name = p_worker->>'name' returning state into v_state;
  end if;
  if v_state is null then
    insert into worker as w (name, hostname, port, queues, started_at, beat_at, every, held)
    values (p_worker->>'name', p_worker->>'hostname', (p_worker->>'port')::int, array(select jsonb_array_elements_text(p_worker->'queues')), p_now, p_now, p_every, v_held)
    on conflict (name) do update set hostname = excluded.hostname, port = excluded.port, queues = excluded.queues, state = 'running', shutdown_at = null,
      started_at = excluded.started_at, beat_at = excluded.beat_at, every = excluded.every, held = excluded.held
    returning w.state into v_state;
  end if;
  return v_state;
end
$$`,
  `/* Of a worker that has stopped. It stays in the list until it is purged, or maintenance finds it old. */
create or replace function {schema}.leave_worker(p_name text) returns void
language sql volatile set search_path = {schema}, pg_temp as $$
  update worker set state = 'stopped', held = 0, beat_at = clock() where name = p_name
$$`,
  `/* Times travel as milliseconds, and are compared as such. */
create or replace function {schema}.epoch_ms(p_at timestamptz) returns float8
language sql immutable as $$ select round(extract(epoch from p_at) * 1000)::float8 $$`,
  `create or replace function {schema}.schedule_fault(p_name text) returns jsonb
language sql immutable as $$ select jsonb_build_object('code', 'schedule_not_found', 'schedule', p_name) $$`,
  `/* All that runs are computed from. */
create or replace function {schema}.schedule_timing(s {schema}.schedule) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('cron', s.cron, 'timezone', s.timezone, 'every', s.every, 'anchor', epoch_ms(s.anchor),
    'start', epoch_ms(s.starts_at), 'end', epoch_ms(s.ends_at))
$$`,
  `create or replace function {schema}.schedule_info(s {schema}.schedule) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select schedule_timing(s) || jsonb_build_object(
    'name', s.name, 'queue', (select name from queue where id = s.queue), 'missed', s.missed, 'priority', s.priority,
    'headers', coalesce(s.headers, '{}'), 'payload', s.payload, 'paused', s.paused, 'createdAt', epoch_ms(s.created_at),
    'nextAt', epoch_ms(s.next_at), 'lastAt', epoch_ms(s.last_at), 'error', s.error, 'failedAt', epoch_ms(s.failed_at))
$$`,
  `/* The schedule as it is asked for, with what an earlier one of that name keeps. */
create or replace function {schema}.schedule_wanted(s {schema}.schedule, p_name text, q {schema}.queue, p_spec jsonb, p_now timestamptz)
returns {schema}.schedule
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  w schedule := s;
begin
  w.name := p_name;
  w.queue := q.id;
  w.cron := p_spec->>'cron';
  w.timezone := p_spec->>'timezone';
  w.every := (p_spec->>'every')::bigint;
  w.starts_at := to_timestamp((p_spec->>'start')::float8 / 1000);
  w.ends_at := to_timestamp((p_spec->>'end')::float8 / 1000);
  w.missed := p_spec->>'missed';
  w.priority := (p_spec->>'priority')::smallint;
  w.headers := nullif(p_spec->'headers', 'null');
  w.payload := p_spec->'payload';
  w.created_at := coalesce(s.created_at, p_now);
  w.paused := coalesce(s.paused, false);
  if s.name is null or (w.cron, w.timezone, w.every, w.starts_at) is distinct from (s.cron, s.timezone, s.every, s.starts_at) then
    w.anchor := coalesce(w.starts_at, p_now);
  end if;
  return w;
end
$$`,
  `/* Makes a schedule or changes it in place. Where the next run has to be planned, which takes a parser of cron, the answer is a
   plan to make: the client calls again with p_from, which was the time, and the run it found. An unchanged timing keeps its next run. */
create or replace function {schema}.try_upsert_schedule(p_name text, p_spec jsonb, p_from float8, p_next float8)
returns table (fault jsonb, info jsonb, plan jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue;
  s schedule;
  w schedule;
  v_now timestamptz := clock();
  v_from float8;
begin
  select * into q from queue where name = p_spec->>'queue' and dropped_at is null for key share;
  if q.kind is distinct from 'work' or (p_spec->>'priority')::int >= q.levels then
    return query select case when q.kind is distinct from 'work' then queue_fault(p_spec->>'queue', 'work')
      else priority_fault(q, (p_spec->>'priority')::int, null) end, null::jsonb, null::jsonb;
    return;
  end if;
  select * into s from schedule where name = p_name;
  /* Every process says this as it starts: nothing is locked or written where nothing changes. */
  if s.name is not null and s is not distinct from schedule_wanted(s, p_name, q, p_spec, v_now) then
    return query select null::jsonb, schedule_info(s), null::jsonb;
    return;
  end if;
  loop
    select * into s from schedule where name = p_name for update;
    w := schedule_wanted(s, p_name, q, p_spec, coalesce(to_timestamp(p_from / 1000), v_now));
    if s.name is null or not s.paused and schedule_timing(w) || '{"anchor": 0}' <> schedule_timing(s) || '{"anchor": 0}' then
      /* Also where a run went out since: the plan could be that run once more. */
      if p_from is null or p_from < epoch_ms(s.last_at) then
        v_from := greatest(epoch_ms(v_now), epoch_ms(s.last_at));
        w := schedule_wanted(s, p_name, q, p_spec, to_timestamp(v_from / 1000));
        return query select null::jsonb, null::jsonb, schedule_timing(w) || jsonb_build_object('from', v_from);
        return;
      end if;
      w.next_at := to_timestamp(p_next / 1000);
      w.wake_at := w.next_at;
    end if;
    if s.name is not null then
      exit;
    end if;
    insert into schedule select w.* on conflict do nothing;
    if found then
      return query select null::jsonb, schedule_info(w), null::jsonb;
      return;
    end if;
    /* Another process made it meanwhile, and may have sent its first run. */
  end loop;
  update schedule set queue = w.queue, cron = w.cron, timezone = w.timezone, every = w.every, anchor = w.anchor, starts_at = w.starts_at, ends_at = w.ends_at,
    missed = w.missed, priority = w.priority, headers = w.headers, payload = w.payload, next_at = w.next_at, wake_at = w.wake_at
   where name = p_name;
  return query select null::jsonb, schedule_info(w), null::jsonb;
end
$$`,
  `/* now: for a preview of runs to come. */
create or replace function {schema}.try_get_schedule(p_name text) returns table (fault jsonb, info jsonb, now float8)
language sql volatile set search_path = {schema}, pg_temp as $$
  select case when s.name is null then schedule_fault(p_name) end, schedule_info(s), epoch_ms(clock())
    from (select 1) one left join schedule s on s.name = p_name
$$`,
  `create or replace function {schema}.list_schedules(p_prefix text, p_after text, p_limit int) returns setof jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select schedule_info(s) from schedule s
   where (p_prefix is null or starts_with(s.name, p_prefix)) and (p_after is null or s.name > p_after)
   order by s.name limit p_limit
$$`,
  `create or replace function {schema}.try_pause_schedule(p_name text) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s schedule;
begin
  update schedule set paused = true, next_at = null, wake_at = null where name = p_name and not paused;
  select * into s from schedule where name = p_name;
  return query select case when s.name is null then schedule_fault(p_name) end, schedule_info(s);
end
$$`,
  `/* Asks for a plan as try_upsert_schedule does. */
create or replace function {schema}.try_resume_schedule(p_name text, p_from float8, p_next float8) returns table (fault jsonb, info jsonb, plan jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s schedule;
begin
  select * into s from schedule where name = p_name for update;
  if s.name is null or not s.paused then
    return query select case when s.name is null then schedule_fault(p_name) end, schedule_info(s), null::jsonb;
  elsif p_from is null or p_from < epoch_ms(s.last_at) then
    return query select null::jsonb, null::jsonb, schedule_timing(s) || jsonb_build_object('from', greatest(epoch_ms(clock()), epoch_ms(s.last_at)));
  else
    update schedule set paused = false, next_at = to_timestamp(p_next / 1000), wake_at = to_timestamp(p_next / 1000) where name = p_name returning * into s;
    return query select null::jsonb, schedule_info(s), null::jsonb;
  end if;
end
$$`,
  `create or replace function {schema}.try_remove_schedule(p_name text) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  delete from schedule where name = p_name;
  return found;
end
$$`,
  `/* The message of one run. */
create or replace function {schema}.send_run(s {schema}.schedule, p_at timestamptz, out fault jsonb, out id bigint, out queue text)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  select q.name into queue from queue q where q.id = s.queue and q.dropped_at is null;
  select t.fault, t.id into fault, id from try_send(queue, s.payload, coalesce(s.headers, '{}') || jsonb_build_object(
    'schedule', s.name, 'scheduledFor', to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')), null, null, s.priority) t;
end
$$`,
  `/* At once, and besides what is planned. */
create or replace function {schema}.try_run_schedule(p_name text) returns table (fault jsonb, id bigint, queue text)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s schedule;
begin
  select * into s from schedule where name = p_name;
  if s.name is null then
    return query select schedule_fault(p_name), null::bigint, null::text;
  else
    return query select * from send_run(s, clock());
  end if;
end
$$`,
  `/* The schedules to look at, the longest waiting first, and how long until the next one. Beyond p_from only: rows that runs left
   dead lie below, where vacuum may not get at them for hours. */
create or replace function {schema}.due_schedules(p_from float8, p_limit int) returns jsonb
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_now timestamptz := clock();
  v_from timestamptz := coalesce(to_timestamp(p_from / 1000), '-infinity');
begin
  return jsonb_build_object(
    'now', epoch_ms(v_now),
    'wait', (select epoch_ms(wake_at) - epoch_ms(v_now) from schedule where wake_at > v_now order by wake_at limit 1),
    'due', (select coalesce(jsonb_agg(schedule_timing(d) || jsonb_build_object(
                     'name', d.name, 'missed', d.missed, 'next', epoch_ms(d.next_at), 'bytes', pg_column_size(d.payload)) order by d.wake_at), '[]')
              from (select * from schedule where wake_at > v_from and wake_at <= v_now order by wake_at limit p_limit) d));
end
$$`,
  `/* Sends the runs of p_times and plans the next one, all or nothing, for the one caller that finds the schedule where it was
   when he planned: p_due. What cannot be sent now, or p_error says that it could not, stays due, and no other schedule waits for it. */
create or replace function {schema}.fire_schedule(p_name text, p_due float8, p_times float8[], p_next float8, p_error text) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s schedule;
  v_now timestamptz := clock();
  v_time float8;
  v_queue text;
  v_fault jsonb;
begin
  if isolation_fault() is not null then
    return jsonb_build_object('fault', isolation_fault());
  end if;
  select * into s from schedule where name = p_name for update skip locked;
  if epoch_ms(s.next_at) is distinct from p_due or epoch_ms(v_now) < any (p_times || p_due) or p_due > any (p_times) or p_next <= any (p_times || p_due) then
    return '{"did": "lost"}';
  end if;
  begin
    if p_error is not null then
      raise exception using message = p_error;
    end if;
    foreach v_time in array p_times loop
      select fault, queue into v_fault, v_queue from send_run(s, to_timestamp(v_time / 1000));
      perform raise_fault(v_fault);
    end loop;
  exception when others then
    update schedule set error = sqlerrm, failed_at = v_now, wake_at = v_now + interval '10 seconds' where name = p_name;
    return jsonb_build_object('did', 'failed');
  end;
  update schedule set
    next_at = to_timestamp(p_next / 1000),
    wake_at = case when p_next is not null then greatest(to_timestamp(p_next / 1000), v_now) end,
    last_at = coalesce(to_timestamp(p_times[cardinality(p_times)] / 1000), last_at),
    error = case when p_times = '{}' then error end,
    failed_at = case when p_times = '{}' then failed_at end
   where name = p_name;
  return jsonb_build_object('did', 'fired', 'queue', v_queue);
end
$$`,
  `/* A message that waits goes at once: cancelled. Of one that somebody holds it is noted: requested. The beat of its worker tells
   him, and it goes when he settles it, however he does unless by done; or when it would be delivered again. */
create or replace function {schema}.try_cancel(p_queue text, p_ids bigint[]) returns table (fault jsonb, id bigint, outcome text)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_waiting bigint[];
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::bigint, null::text;
    return;
  end if;
  execute format('select array(select w.id from unnest($2) u(id), lateral (select m.id from %I m where m.queue = $1 and m.id = u.id
    and message_state(m.lease, m.vt, $3) <> ''inFlight'' for update skip locked) w)', message_table(q.storage)) into v_waiting using q.id, p_ids, v_now;
  perform discard(q, '{0,1}', v_waiting, 'cancelled', v_now);
  return query select null::jsonb, u.id, 'cancelled' from unnest(v_waiting) u(id);
  /* A note that is there already is not touched: a claim that is to clear it must not wait for this transaction. */
  execute format('insert into cancellation (queue, id, at)
    select $1, u.id, $3 from unnest($2) u(id) where exists (select from %I m where m.queue = $1 and m.id = u.id)
    on conflict do nothing', message_table(q.storage)) using q.id, p_ids, v_now;
  return query execute format('select null::jsonb, c.id, ''requested'' from cancellation c
    where c.queue = $1 and c.id = any ($2) and exists (select from %I m where m.queue = $1 and m.id = c.id)', message_table(q.storage)) using q.id, p_ids;
end
$$`,
  `/* What became of the message: cancelled, requested of one that somebody holds, or null where there is none. */
create or replace function {schema}.cancel(queue text, id bigint) returns text
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_cancel(queue, array[id]);
  perform raise_fault(v.fault);
  return v.outcome;
end
$$`,
  `/* Notes of cancellations whose message is gone: settled as done meanwhile, or with its queue. */
create or replace function {schema}.clear_cancellations(p_limit int default 1000) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  c cancellation;
  q queue;
  v_there boolean;
  v_count int := 0;
begin
  for c in select * from cancellation order by queue, id loop
    exit when v_count >= p_limit;
    select * into q from queue where id = c.queue;
    v_there := false;
    if q.dropped_at is null then
      continue when not hold_if_free(q);
      execute format('select exists (select from %I m where m.queue = $1 and m.id = $2)', message_table(q.storage)) into v_there using c.queue, c.id;
    end if;
    if not v_there then
      delete from cancellation where queue = c.queue and id = c.id;
      v_count := v_count + 1;
    end if;
  end loop;
  return v_count;
end
$$`,
  `/* Whoever claims from a paused queue gets nothing, from the next claim on; sends and settles go on. */
create or replace function {schema}.try_pause(p_queue text, p_paused boolean) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  q queue;
begin
  update queue set paused_at = case when p_paused then coalesce(paused_at, clock()) end
   where name = p_queue and kind = 'work' and dropped_at is null returning * into q;
  if q.id is not null and not p_paused then
    perform pg_notify(current_schema() || '_wake', q.name);
  end if;
  return query select case when q.id is null then queue_fault(p_queue, 'work') end, case when q.id is not null then queue_info(q) end;
end
$$`,
  `create or replace function {schema}.pause_queue(name text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault((select fault from try_pause(name, true)));
end
$$`,
  `create or replace function {schema}.resume_queue(name text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault((select fault from try_pause(name, false)));
end
$$`,
  `/* Where dead messages of a queue lie: first its dead-letter queue, then the archive. Each as a text that finds some, and how it
   locks them. */
create or replace function {schema}.dead_sources(q {schema}.queue) returns table (source text, storage int, tab text, query text)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  d queue;
  v_columns text := 'm.id, m.priority, m.attempt, m.enqueued_at, m.headers, m.payload, m.errors';
  v_matches text := '($3 is null or m.id = any ($3)) and ($4->''headers'' is null or coalesce(m.headers, ''{}'') @> ($4->''headers''))
    and ($4->''payload'' is null or m.payload @> ($4->''payload'')) order by m.id limit $5';
begin
  select * into d from queue where id = q.dead_letter and dropped_at is null;
  if d.id is not null and hold_storage(d) then
    return query select 'deadLetter', d.storage, message_table(d.storage), format('select %s from %I m
      where m.queue = %s and m.origin = $1 and message_state(m.lease, m.vt, $2) <> ''inFlight'' and %s', v_columns, message_table(d.storage), d.id, v_matches);
  end if;
  return query select 'archive', null::int, archive_table(q.storage), format('select %s from %I m
    where m.queue = $1 and m.outcome = ''dead'' and %s', v_columns, archive_table(q.storage), v_matches);
end
$$`,
  `/* Nothing died in a queue where others bury their dead: theirs were meant. */
create or replace function {schema}.redrive_fault(q {schema}.queue) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_buries text[] := array(select name from queue where dead_letter = q.id and dropped_at is null order by name);
  w record;
  v_found boolean;
begin
  if q.dead_letter is not null or v_buries = '{}' then
    return null;
  end if;
  for w in select * from dead_sources(q) loop
    execute format('select exists (%s)', w.query) into v_found using q.id, clock(), null::bigint[], null::jsonb, 1;
    if v_found then
      return null;
    end if;
  end loop;
  return jsonb_build_object('code', 'nothing_died', 'queue', q.name, 'deadLetterOf', v_buries);
end
$$`,
  `/* Brings dead messages of a queue back to it, by ids or a filter or all, oldest first: same id, attempts from 0, ready now, with
   the errors they had. A lease from before they died is stale, and so is a note that they are to be cancelled. With p_preview
   nothing is changed, nor locked. */
create or replace function {schema}.try_redrive(p_queue text, p_ids bigint[], p_filter jsonb, p_limit int, p_preview boolean)
returns table (fault jsonb, item jsonb)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  q queue;
  w record;
  r record;
  v_now timestamptz := clock();
  v_generation bigint;
  v_items jsonb[];
  v_all jsonb[] := '{}';
  v_ids bigint[];
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::jsonb;
    return;
  end if;
  for w in select * from dead_sources(q) loop
    exit when cardinality(v_all) >= p_limit;
    select max(generation) into v_generation from segment where storage = w.storage;
    for v_pass in 1 .. 2 loop
      execute format('select array_agg(f.id order by f.id), array_agg(jsonb_build_object(''id'', f.id::text, ''source'', %L, ''priority'', f.priority, ''attempt'', f.attempt,
          ''enqueuedAt'', extract(epoch from f.enqueued_at) * 1000, ''headers'', coalesce(f.headers, ''{}''), ''payload'', f.payload, ''errors'', coalesce(f.errors, ''[]'')) order by f.id)
        from (%s) f', w.source, w.query || case when p_preview then '' else ' for update skip locked' end)
        into v_ids, v_items using q.id, v_now, p_ids, p_filter, p_limit - cardinality(v_all);
      if v_ids is not null and not p_preview then
        execute format('with gone as (delete from %I m where m.id = any ($1) and m.queue = $6 returning m.*)
          insert into %I (segment, queue, id, priority, vt, enqueued_at, headers, payload, errors, grp, group_name, key)
          select (select current from segment where storage = $2 order by generation desc limit 1),
                 $3, id, least(priority, $4 - 1), $5, enqueued_at, headers, payload, errors, group_of($7, group_name), group_name, key from gone', w.tab, message_table(q.storage))
          using v_ids, q.storage, q.id, q.levels, v_now, case w.source when 'archive' then q.id else q.dead_letter end, q.ungrouped;
        for r in execute format('select id, key from %I where queue = $1 and id = any ($2) and key is not null order by key', message_table(q.storage)) using q.id, v_ids loop
          perform take_key(q, r.key, r.id, v_now);
        end loop;
        delete from cancellation where queue in (q.id, q.dead_letter) and id = any (v_ids);
        update dependency set failed = false where queue = q.id and parent = any (v_ids);
        if w.source = 'deadLetter' then
          perform left_queue((select d from queue d where d.id = q.dead_letter), v_ids, false);
        end if;
      end if;
      v_all := v_all || v_items;
      exit when p_preview or v_pass = 2 or cardinality(v_all) >= p_limit or w.storage is null or not flipping(w.storage, v_generation);
      /* What it moves right now is locked, and lies in the other segment when it is done. */
      perform pg_advisory_xact_lock_shared(lock_space('flip'), w.storage);
    end loop;
  end loop;
  if v_all = '{}' then
    return query select f, null::jsonb from redrive_fault(q) f where f is not null;
  elsif not p_preview then
    perform pg_notify(current_schema() || '_wake', q.name);
  end if;
  return query select null::jsonb, unnest(v_all);
end
$$`,
  `/* How many came back. */
create or replace function {schema}.redrive(queue text, "limit" int default 1000, filter jsonb default null) returns int
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
  v_count int := 0;
begin
  perform raise_fault(coalesce(argument_fault('limit', "limit" >= 0), filter_fault(filter)));
  for v in select * from try_redrive(queue, null, filter, "limit", false) loop
    perform raise_fault(v.fault);
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$`,
  `/* Three beats are missing: dead, stopped by a signal, or cut off. */
create or replace function {schema}.worker_is_stale(w {schema}.worker, p_now timestamptz) returns boolean
language sql stable as $$
  select w.state <> 'stopped' and w.beat_at < p_now - 3 * w.every
$$`,
  `create or replace function {schema}.worker_info(w {schema}.worker, p_now timestamptz) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object(
    'name', w.name, 'hostname', w.hostname, 'port', w.port, 'queues', w.queues, 'state', w.state, 'stale', worker_is_stale(w, p_now), 'held', w.held,
    'startedAt', extract(epoch from w.started_at) * 1000, 'beatAt', extract(epoch from w.beat_at) * 1000,
    'shutdownAt', extract(epoch from w.shutdown_at) * 1000, 'every', extract(epoch from w.every) * 1000)
$$`,
  `/* Null where there is such a queue, and where none is named. */
create or replace function {schema}.missing_queue_fault(p_queue text) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select queue_fault(p_queue, 'work')
   where p_queue is not null and not exists (select from queue where name = p_queue and kind = 'work' and dropped_at is null)
$$`,
  `create or replace function {schema}.try_list_workers(p_queue text, p_state text, p_after text, p_limit int) returns table (fault jsonb, item jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_now timestamptz := clock();
  v_fault jsonb := missing_queue_fault(p_queue);
begin
  if v_fault is not null then
    return query select v_fault, null::jsonb;
    return;
  end if;
  return query
    select null::jsonb, worker_info(w, v_now) from worker w
     where (p_queue is null or p_queue = any (w.queues)) and (p_state is null or w.state = p_state) and (p_after is null or w.name > p_after)
     order by w.name limit p_limit;
end
$$`,
  `create or replace function {schema}.try_count_workers(p_queue text, p_state text) returns table (fault jsonb, count bigint)
language sql stable set search_path = {schema}, pg_temp as $$
  select missing_queue_fault(p_queue), count(*) from worker w
   where (p_queue is null or p_queue = any (w.queues)) and (p_state is null or w.state = p_state)
$$`,
  `create or replace function {schema}.try_get_worker(p_name text) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  w worker;
begin
  select * into w from worker where name = p_name;
  return query select worker_fault(w, p_name), case when w.id is not null then worker_info(w, clock()) end;
end
$$`,
  `create or replace function {schema}.worker_fault(w {schema}.worker, p_name text) returns jsonb
language sql immutable as $$
  select case when w.id is null then jsonb_build_object('code', 'worker_not_found', 'worker', p_name) end
$$`,
  `/* How many are in each state; of those that have not stopped, how many are stale, what they hold, and the beat that is the longest ago. */
create or replace function {schema}.try_worker_health(p_queue text) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_now timestamptz := clock();
begin
  return query
    select missing_queue_fault(p_queue), jsonb_build_object(
      'total', count(*), 'running', count(*) filter (where w.state = 'running'), 'suspended', count(*) filter (where w.state = 'suspended'),
      'stopping', count(*) filter (where w.state = 'stopping'), 'stopped', count(*) filter (where w.state = 'stopped'),
      'stale', count(*) filter (where worker_is_stale(w, v_now)), 'held', coalesce(sum(w.held) filter (where w.state <> 'stopped'), 0),
      'oldestBeatAt', extract(epoch from min(w.beat_at) filter (where w.state <> 'stopped')) * 1000)
      from worker w where p_queue is null or p_queue = any (w.queues);
end
$$`,
  `/* Tells a worker what to be, running, suspended or stopping, which it learns at its next beat. What it is already is no mistake; of one
   that stops nothing else can be had. A stale one that is to stop counts as stopped; if it lives after all, its next beat tells it. */
create or replace function {schema}.try_tell_worker(p_name text, p_to text) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  w worker;
  v_now timestamptz := clock();
begin
  select * into w from worker where name = p_name for update;
  if w.id is null then
    return query select worker_fault(w, p_name), null::jsonb;
    return;
  end if;
  if w.state in ('stopping', 'stopped') and p_to <> 'stopping' then
    return query select jsonb_build_object('code', 'worker_state', 'worker', p_name, 'from', w.state, 'to', p_to), null::jsonb;
    return;
  end if;
  if w.state <> 'stopped' then
    update worker set
      state = case when p_to = 'stopping' and worker_is_stale(w, v_now) then 'stopped' else p_to end,
      shutdown_at = case when p_to = 'stopping' then coalesce(shutdown_at, v_now) end
     where id = w.id returning * into w;
  end if;
  return query select null::jsonb, worker_info(w, v_now);
end
$$`,
  `create or replace function {schema}.suspend_worker(name text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault((select fault from try_tell_worker(name, 'suspended')));
end
$$`,
  `create or replace function {schema}.resume_worker(name text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault((select fault from try_tell_worker(name, 'running')));
end
$$`,
  `create or replace function {schema}.shutdown_worker(name text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault((select fault from try_tell_worker(name, 'stopping')));
end
$$`,
  `/* Forgets workers that have stopped, and stale ones, whose last beat is this long ago. One that lives is there again at its next beat. */
create or replace function {schema}.purge_workers(older_than interval default '1 hour') returns setof text
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_now timestamptz := clock();
begin
  perform raise_fault(argument_fault('older_than', older_than >= '0' and isfinite(older_than)));
  return query
    delete from worker w where w.beat_at <= v_now - older_than and (w.state = 'stopped' or worker_is_stale(w, v_now)) returning w.name;
end
$$`,
  `/* The group of a message in a queue, as its indexes have it. */
create or replace function {schema}.group_of(p_ungrouped bigint, p_name text) returns bigint
language sql immutable as $$
  select case when p_ungrouped is null then null when p_name is null then 0 else greatest(hashtextextended(p_name, 0) & 9223372036854775807, 1) end
$$`,
  `/* A message of which more is to be said than the hot functions of sending take. Not before p_vt; null of one that waits for others. */
create or replace function {schema}.insert_message(q {schema}.queue, p_item jsonb, p_vt timestamptz, p_now timestamptz) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  v_id bigint;
begin
  execute format('insert into %I (segment, queue, priority, vt, enqueued_at, headers, payload, grp, group_name, key, expire_at)
    values ((select current from segment where storage = $1 order by generation desc limit 1), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning id',
    message_table(q.storage))
    into v_id using q.storage, q.id, coalesce((p_item->>'priority')::int, least(1, q.levels - 1)), coalesce(p_vt, 'infinity'), p_now, p_item->'headers',
      coalesce(p_item->'payload', 'null'), group_of(q.ungrouped, p_item->>'group'), p_item->>'group', p_item->>'key', to_timestamp((p_item->>'expireAt')::float8 / 1000);
  return v_id;
end
$$`,
  `/* When an item is ready that nothing else holds back. */
create or replace function {schema}.ready_at(p_item jsonb, p_now timestamptz) returns timestamptz
language sql immutable as $$
  select greatest(p_now, to_timestamp((p_item->>'at')::float8 / 1000), p_now + coalesce((p_item->>'debounce')::float8, (p_item->>'delay')::float8) * interval '1 millisecond')
$$`,
  `/* The row of a key, locked, and made where there was none. Who holds it in an open transaction is waited for. */
create or replace function {schema}.lock_key(q {schema}.queue, p_key text) returns {schema}.unique_key
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  k unique_key;
begin
  loop
    insert into unique_key (queue, key, id, until, to_start) values (q.id, p_key, 0, '-infinity', false) on conflict (queue, key) do nothing returning * into k;
    exit when found;
    select * into k from unique_key where queue = q.id and key = p_key for update;
    exit when found;
    /* Maintenance took it away between the two statements. */
  end loop;
  return k;
end
$$`,
  `/* The message that holds a key: as long as it is in its queue, and, of one that is to be free once it was started, until then;
   or for a time, whatever becomes of it. Locked if it may be replaced: waits, and nobody has it. */
create or replace function {schema}.key_holder(q {schema}.queue, k {schema}.unique_key, p_now timestamptz, out held boolean, out waits boolean)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  m record;
  v_table text := message_table(q.storage);
  v_lock text := format('select true from %I where queue = $1 and id = $2 and not (lease is not null and vt > $3) for no key update', v_table);
begin
  held := false;
  waits := false;
  if k.until <= p_now then
    return;
  end if;
  execute format('select lease, vt, attempt from %I where queue = $1 and id = $2 and (expire_at is null or expire_at > $3)', v_table) into m using q.id, k.id, p_now;
  if m.vt is null then
    perform flipping(q.storage, null); /* An old snapshot cannot tell. */
  end if;
  held := k.until < 'infinity' or m.vt is not null and not (k.to_start and m.attempt > 0);
  if m.vt is not null and not (m.lease is not null and m.vt > p_now) then
    execute v_lock || ' skip locked' into waits using q.id, k.id, p_now;
    if waits is null and flipping(q.storage, null) then
      /* It may just be moved. */
      execute v_lock into waits using q.id, k.id, p_now;
      execute v_lock || ' skip locked' into waits using q.id, k.id, p_now;
    end if;
    waits := coalesce(waits, false);
  end if;
end
$$`,
  `/* A message that came back has its key again, unless another one has it by now. */
create or replace function {schema}.take_key(q {schema}.queue, p_key text, p_id bigint, p_now timestamptz) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
begin
  if not (key_holder(q, lock_key(q, p_key), p_now)).held then
    update unique_key set id = p_id, until = 'infinity', to_start = false where queue = q.id and key = p_key;
  end if;
end
$$`,
  `/* Sends one message, or finds the one that has its key. */
create or replace function {schema}.send_item(q {schema}.queue, p_item jsonb, p_index int, p_now timestamptz, out id bigint, out created boolean, out fault jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  k unique_key;
  h record;
  v_conflict text := coalesce(p_item->>'onConflict', case when p_item ? 'debounce' then 'replace' else 'keep' end);
begin
  if p_item->>'key' is not null then
    k := lock_key(q, p_item->>'key');
    h := key_holder(q, k, p_now);
    id := k.id;
    created := false;
    if v_conflict = 'replace' and h.waits then
      perform replace_message(q, k.id, p_item, p_now);
      return;
    elsif h.held and v_conflict = 'error' then
      fault := jsonb_build_object('code', 'key_conflict', 'queue', q.name, 'key', k.key, 'id', k.id::text, 'index', p_index);
      return;
    elsif h.held and (v_conflict = 'keep' or k.until < 'infinity') then
      return;
    end if;
  end if;
  created := true;
  id := insert_message(q, p_item, case when not p_item ? 'after' then ready_at(p_item, p_now) end, p_now);
  if k.key is not null then
    update unique_key u set id = send_item.id, until = coalesce(p_now + (p_item->>'throttle')::float8 * interval '1 millisecond', 'infinity'),
           to_start = coalesce((p_item->>'keyUntil' = 'started'), false) or p_item ? 'debounce'
     where u.queue = q.id and u.key = k.key;
  end if;
end
$$`,
  `/* What waits becomes another message of the same id. */
create or replace function {schema}.replace_message(q {schema}.queue, p_id bigint, p_item jsonb, p_now timestamptz) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
begin
  execute format('update %I set payload = $3, headers = $4, priority = $5, vt = case when vt = ''infinity'' then vt else $6 end, attempt = 0, lease = null, errors = null,
      grp = $7, group_name = $8, expire_at = $9 where queue = $1 and id = $2', message_table(q.storage))
    using q.id, p_id, coalesce(p_item->'payload', 'null'), p_item->'headers', coalesce((p_item->>'priority')::int, least(1, q.levels - 1)),
      ready_at(p_item, p_now), group_of(q.ungrouped, p_item->>'group'), p_item->>'group', to_timestamp((p_item->>'expireAt')::float8 / 1000);
  update dependency set at = ready_at(p_item, p_now) where child = p_id;
end
$$`,
  `/* What is wrong with items before any of them is sent. */
create or replace function {schema}.items_fault(q {schema}.queue, p_items jsonb) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select coalesce(
    (select priority_fault(q, (o->>'priority')::int, n::int - 1) from jsonb_array_elements(p_items) with ordinality e(o, n)
      where (o->>'priority')::int not between 0 and q.levels - 1 order by n limit 1),
    (select jsonb_build_object('code', 'no_groups', 'queue', q.name, 'index', n - 1) from jsonb_array_elements(p_items) with ordinality e(o, n)
      where o ? 'group' and q.ungrouped is null order by n limit 1),
    /* Each waits for what was sent before it to its group anyway: with what comes later it could wait in a circle. */
    (select jsonb_build_object('code', 'later_ref', 'queue', q.name, 'index', n - 1) from jsonb_array_elements(p_items) with ordinality e(o, n)
      where q.fifo and exists (select from jsonb_array_elements(o->'after') a where (a->>'index')::int >= n - 1) order by n limit 1))
$$`,
  `/* Messages with keys, groups, times to live, or that wait for others: in order, all or nothing. Each item is {payload, headers,
   delay, at, priority, key, keyUntil, throttle, debounce, onConflict, group, expireAt, after, ifFailed}; times and lengths of time in
   milliseconds; after: [{queue, id} or {index}, of an item of the batch]. created is false of one that had been there. */
create or replace function {schema}.try_send_with(p_queue text, p_items jsonb) returns table (fault jsonb, id bigint, created boolean)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_item jsonb;
  v_one record;
  v_ids bigint[] := '{}';
  v_created boolean[] := '{}';
  v_fault jsonb;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  v_fault := case when q.kind is distinct from 'work' or not hold_storage(q) then queue_fault(p_queue, 'work') else items_fault(q, p_items) end;
  if v_fault is null then
    begin
      /* All in one order: two batches of the same keys do not wait for one another. */
      perform lock_key(q, k.key) from (select distinct o->>'key' as key from jsonb_array_elements(p_items) o where o->>'key' is not null order by 1) k;
      for v_item in select * from jsonb_array_elements(p_items) loop
        v_one := send_item(q, v_item, cardinality(v_ids), v_now);
        v_fault := v_one.fault;
        exit when v_fault is not null;
        v_ids := v_ids || v_one.id;
        v_created := v_created || v_one.created;
      end loop;
      v_fault := coalesce(v_fault, wait_for_others(q, p_items, v_ids, v_created, v_now));
      if v_fault is not null then
        /* Takes back what this call has sent, and nothing else of the caller's transaction. */
        raise exception using errcode = 'SL000', message = 'taken back';
      end if;
    exception when sqlstate 'SL000' then
      null;
    end;
  end if;
  if v_fault is not null then
    return query select v_fault, null::bigint, null::boolean;
    return;
  end if;
  perform count_sent(q, cardinality(array_positions(v_created, true)));
  return query select null::jsonb, u.id, u.created from unnest(v_ids, v_created) with ordinality u(id, created, n) order by u.n;
end
$$`,
  `/* Keys that hold no longer: their time is over, or their message is gone. Some of them, by chance: they cost nothing but room. */
create or replace function {schema}.clear_keys(p_limit int default 5000) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  k unique_key;
  q queue;
  v_there boolean;
  v_count int := 0;
  v_percent real := (select greatest(0.1, least(100, 100 * p_limit / greatest(reltuples, 1))) from pg_class where oid = 'unique_key'::regclass);
begin
  for k in select * from unique_key where until < clock() limit p_limit for update skip locked loop
    delete from unique_key where queue = k.queue and key = k.key;
    v_count := v_count + 1;
  end loop;
  for k in select * from unique_key tablesample system (v_percent) where until = 'infinity' and id > 0 loop
    select * into q from queue where id = k.queue;
    v_there := false;
    if q.dropped_at is null then
      continue when not hold_if_free(q);
      execute format('select exists (select from %I where queue = $1 and id = $2)', message_table(q.storage)) into v_there using k.queue, k.id;
    end if;
    if not v_there then
      delete from unique_key where queue = k.queue and key = k.key and id = k.id;
      v_count := v_count + 1;
    end if;
  end loop;
  return v_count;
end
$$`,
  `/* Parks new messages behind those that they name, which cannot leave before this transaction has ended: as foreign keys hold
   what they point to. One that is not there is done; of one that ended otherwise ifFailed decides. */
create or replace function {schema}.wait_for_others(q {schema}.queue, p_items jsonb, p_ids bigint[], p_created boolean[], p_now timestamptz) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  v record;
  v_parent bigint;
  p queue;
  v_there boolean;
  v_fault jsonb;
begin
  for v in
    select p_ids[i.n] as child, a.o, coalesce(i.o->>'ifFailed', 'cancel') as if_failed, ready_at(i.o, p_now) as at
      from jsonb_array_elements(p_items) with ordinality i(o, n), jsonb_array_elements(i.o->'after') a(o)
     where p_created[i.n]
     order by coalesce(p_ids[(a.o->>'index')::int + 1], (a.o->>'id')::bigint)
  loop
    v_parent := coalesce(p_ids[(v.o->>'index')::int + 1], (v.o->>'id')::bigint);
    p := q;
    if v.o->>'queue' <> q.name then
      select * into p from queue where name = v.o->>'queue' and dropped_at is null;
      if p.kind is distinct from 'work' or not hold_storage(p) then
        return queue_fault(v.o->>'queue', 'work');
      end if;
    end if;
    /* Twice: it may just be moved by a flip. */
    for v_pass in 1 .. 2 loop
      execute format('select true from %I where queue = $1 and id = $2 for key share', message_table(p.storage)) into v_there using p.id, v_parent;
      exit when v_there;
      perform flipping(p.storage, null);
    end loop;
    if v_there or v.if_failed <> 'run' and ended_badly(p, v_parent) then
      if v_there is null and v.if_failed = 'cancel' then
        return jsonb_build_object('code', 'dependency_failed', 'queue', p.name, 'id', v_parent::text);
      end if;
      insert into dependency (queue, parent, child_queue, child, if_failed, at, failed) values (p.id, v_parent, q.id, v.child, v.if_failed, v.at, v_there is null) on conflict do nothing;
    end if;
  end loop;
  for v in
    select p_ids[i.n] as child, ready_at(i.o, p_now) as at from jsonb_array_elements(p_items) with ordinality i(o, n)
     where i.o ? 'after' and p_created[i.n] and not exists (select from dependency d where d.child = p_ids[i.n])
  loop
    execute format('update %I set vt = $3 where queue = $1 and id = $2', message_table(q.storage)) using q.id, v.child, v.at;
  end loop;
  return null;
end
$$`,
  `/* In the archive otherwise than as done, or in the dead-letter queue. */
create or replace function {schema}.ended_badly(q {schema}.queue, p_id bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  d queue;
  v_there boolean;
begin
  execute format('select true from %I where queue = $1 and id = $2 and outcome <> ''done'' limit 1', archive_table(q.storage)) into v_there using q.id, p_id;
  select * into d from queue where id = q.dead_letter and dropped_at is null;
  if v_there is null and d.id is not null and hold_storage(d) then
    execute format('select true from %I where queue = $1 and id = $2', message_table(d.storage)) into v_there using d.id, p_id;
  end if;
  return coalesce(v_there, false);
end
$$`,
  `/* For every way in which messages leave a queue: those of p_ids that are gone, or all where it is null, no longer hold back who
   waited for them. Of what did not end as done each who waited decides: he is cancelled, and so on along the chain; or runs; or waits on. */
create or replace function {schema}.release_dependants(q {schema}.queue, p_ids bigint[], p_done boolean) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_parents bigint[];
  v_queues int[];
  v_done boolean := p_done;
  v_next record;
begin
  if p_ids is null then
    v_parents := array(select distinct d.parent from dependency d where d.queue = q.id);
  else
    execute format('select array(select x.parent from (select distinct d.parent from dependency d where d.queue = $1 and d.parent = any ($2)) x
      where not exists (select from %I m where m.queue = $1 and m.id = x.parent))', message_table(q.storage)) into v_parents using q.id, p_ids;
  end if;
  v_queues := array_fill(q.id, array[cardinality(v_parents)]);
  while v_parents <> '{}' loop
    v_next := release_children(v_queues, v_parents, v_done);
    v_queues := v_next.queues;
    v_parents := v_next.ids;
    v_done := false;
  end loop;
end
$$`,
  `/* The children of some parents; answers with those that were cancelled, which are parents themselves. */
create or replace function {schema}.release_children(p_queues int[], p_parents bigint[], p_done boolean, out queues int[], out ids bigint[])
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v record;
  c queue;
  v_held boolean;
begin
  queues := '{}';
  ids := '{}';
  if not p_done then
    update dependency d set failed = true from unnest(p_queues, p_parents) p(queue, id) where d.queue = p.queue and d.parent = p.id and d.if_failed = 'wait';
  end if;
  for v in
    with gone as (
      delete from dependency d using unnest(p_queues, p_parents) p(queue, id)
       where d.queue = p.queue and d.parent = p.id and case when p_done then not d.failed else d.if_failed <> 'wait' end
      returning d.child_queue, d.child, d.at, not p_done and d.if_failed = 'cancel' as cancel)
    select child_queue, child, max(at) as at, bool_or(cancel) as cancel from gone group by child_queue, child order by child
  loop
    select * into c from queue where id = v.child_queue and dropped_at is null;
    continue when c.id is null or not hold_storage(c);
    if v.cancel then
      perform lock_child(c, v.child);
      execute format('select message_state(lease, vt, $3) = ''inFlight'' from %I where queue = $1 and id = $2', message_table(c.storage))
         into v_held using c.id, v.child, clock();
      if v_held then
        /* An operator made it ready, and a reader has it. */
        insert into cancellation (queue, id, at) values (c.id, v.child, clock()) on conflict do nothing;
        continue;
      end if;
      perform discard_rows(c, '{0,1}', array[v.child], 'cancelled', clock());
      queues := queues || c.id;
      ids := ids || v.child;
    else
      perform wake_child(c, v.child, v.at);
    end if;
  end loop;
end
$$`,
  `/* Twice: it may just be moved by a flip. One under an older snapshot fails with 40001, since the row was touched. */
create or replace function {schema}.lock_child(c {schema}.queue, p_child bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  v_count int;
begin
  for v_pass in 1 .. 2 loop
    execute format('update %I set vt = vt where queue = $1 and id = $2', message_table(c.storage)) using c.id, p_child;
    get diagnostics v_count = row_count;
    exit when v_count > 0;
    perform flipping(c.storage, null);
  end loop;
  return v_count > 0;
end
$$`,
  `/* Ready, if nothing else holds it back. Of two parents that end at once the second waits here for the first, and sees what it did. */
create or replace function {schema}.wake_child(c {schema}.queue, p_child bigint, p_at timestamptz) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
begin
  /* Two statements: the second one's snapshot comes after the wait. */
  if not lock_child(c, p_child) then
    return;
  end if;
  if not exists (select from dependency where child = p_child) then
    execute format('update %I set vt = greatest($3, $4) where queue = $1 and id = $2 and vt = ''infinity''', message_table(c.storage)) using c.id, p_child, p_at, clock();
    if c.notify = 'transaction' then
      perform pg_notify(current_schema() || '_wake', c.name);
    end if;
  end if;
end
$$`,
  `/* The first group after p_after, in the order of hashes, that has a message which could be ready; null at the end. */
create or replace function {schema}.next_group(q {schema}.queue, p_live smallint[], p_after bigint) returns bigint
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
as $$
begin
  if p_live = '{0}' then
    return (select m.grp from message_0 m where m.queue = q.id and m.grp > p_after and isfinite(m.vt) order by m.grp, m.priority limit 1);
  elsif p_live = '{1}' then
    return (select m.grp from message_1 m where m.queue = q.id and m.grp > p_after and isfinite(m.vt) order by m.grp, m.priority limit 1);
  else
    return (select m.grp from message m where m.queue = q.id and m.grp > p_after and isfinite(m.vt) order by m.grp, m.priority limit 1);
  end if;
end
$$`,
  `/* How many messages of a group are held, or of all groups where p_group is null: under a lease that lives, or by a transaction that
   settles them and may well outlive the lease. */
create or replace function {schema}.held_of(q {schema}.queue, p_live smallint[], p_group bigint, p_now timestamptz) returns int
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  v_leased int;
  v_over int;
  v_free bigint[];
begin
  if p_group is null then
    if p_live = '{0}' then
      select count(*), count(*) filter (where m.vt <= p_now) into v_leased, v_over from message_0 m where m.queue = q.id and m.grp is not null and m.lease is not null;
      if v_over > 0 then
        v_free := array(select m.id from message_0 m where m.queue = q.id and m.grp is not null and m.lease is not null and m.vt <= p_now for key share skip locked);
      end if;
    elsif p_live = '{1}' then
      select count(*), count(*) filter (where m.vt <= p_now) into v_leased, v_over from message_1 m where m.queue = q.id and m.grp is not null and m.lease is not null;
      if v_over > 0 then
        v_free := array(select m.id from message_1 m where m.queue = q.id and m.grp is not null and m.lease is not null and m.vt <= p_now for key share skip locked);
      end if;
    else
      select count(*), count(*) filter (where m.vt <= p_now) into v_leased, v_over from message m where m.queue = q.id and m.grp is not null and m.lease is not null;
      if v_over > 0 then
        v_free := array(select m.id from message m where m.queue = q.id and m.grp is not null and m.lease is not null and m.vt <= p_now for key share skip locked);
      end if;
    end if;
  else
    if p_live = '{0}' then
      select count(*), count(*) filter (where m.vt <= p_now) into v_leased, v_over from message_0 m where m.queue = q.id and m.grp = p_group and m.lease is not null;
      if v_over > 0 then
        v_free := array(select m.id from message_0 m where m.queue = q.id and m.grp = p_group and m.lease is not null and m.vt <= p_now for key share skip locked);
      end if;
    elsif p_live = '{1}' then
      select count(*), count(*) filter (where m.vt <= p_now) into v_leased, v_over from message_1 m where m.queue = q.id and m.grp = p_group and m.lease is not null;
      if v_over > 0 then
        v_free := array(select m.id from message_1 m where m.queue = q.id and m.grp = p_group and m.lease is not null and m.vt <= p_now for key share skip locked);
      end if;
    else
      select count(*), count(*) filter (where m.vt <= p_now) into v_leased, v_over from message m where m.queue = q.id and m.grp = p_group and m.lease is not null;
      if v_over > 0 then
        v_free := array(select m.id from message m where m.queue = q.id and m.grp = p_group and m.lease is not null and m.vt <= p_now for key share skip locked);
      end if;
    end if;
  end if;
  return v_leased - coalesce(cardinality(v_free), 0);
end
$$`,
  `/* Up to p_limit ready messages of a group, locked, in the order of delivery. Of a group in strict order only its oldest message counts:
   while that is held, delayed or waits for another attempt, the group has none. It is asked for in a way that only the index of that order answers. */
create or replace function {schema}.lock_group(q {schema}.queue, p_live smallint[], p_group bigint, p_limit int, p_now timestamptz, p_filter jsonb) returns bigint[]
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
  v_headers jsonb := p_filter->'headers';
  v_payload jsonb := p_filter->'payload';
begin
  if q.fifo and p_group <> 0 then
    if p_live = '{0}' then
      return array(
        select m.id from message_0 m
         where m.queue = q.id and m.vt <= p_now
           and m.id = (select h.id from (select o.grp, o.id from message_0 o where o.queue = q.id and o.grp >= p_group order by o.grp, o.id limit 1) h where h.grp = p_group)
           and (v_headers is null or coalesce(m.headers, '{}') @> v_headers) and (v_payload is null or m.payload @> v_payload)
           for update skip locked);
    elsif p_live = '{1}' then
      return array(
        select m.id from message_1 m
         where m.queue = q.id and m.vt <= p_now
           and m.id = (select h.id from (select o.grp, o.id from message_1 o where o.queue = q.id and o.grp >= p_group order by o.grp, o.id limit 1) h where h.grp = p_group)
           and (v_headers is null or coalesce(m.headers, '{}') @> v_headers) and (v_payload is null or m.payload @> v_payload)
           for update skip locked);
    else
      return array(
        select m.id from message m
         where m.queue = q.id and m.vt <= p_now
           and m.id = (select h.id from (select o.grp, o.id from message o where o.queue = q.id and o.grp >= p_group order by o.grp, o.id limit 1) h where h.grp = p_group)
           and (v_headers is null or coalesce(m.headers, '{}') @> v_headers) and (v_payload is null or m.payload @> v_payload)
           for update skip locked);
    end if;
  end if;
  if p_live = '{0}' then
    return array(
      select r.id
        from generate_series(0, q.deepest - 1) l(level),
             lateral (
               select m.id from message_0 m
                where m.queue = q.id and m.grp = p_group and m.priority = l.level and isfinite(m.vt) and m.vt <= p_now
                  and (v_headers is null or coalesce(m.headers, '{}') @> v_headers) and (v_payload is null or m.payload @> v_payload)
                order by m.vt, m.id limit p_limit for update skip locked) r
       limit p_limit);
  elsif p_live = '{1}' then
    return array(
      select r.id
        from generate_series(0, q.deepest - 1) l(level),
             lateral (
               select m.id from message_1 m
                where m.queue = q.id and m.grp = p_group and m.priority = l.level and isfinite(m.vt) and m.vt <= p_now
                  and (v_headers is null or coalesce(m.headers, '{}') @> v_headers) and (v_payload is null or m.payload @> v_payload)
                order by m.vt, m.id limit p_limit for update skip locked) r
       limit p_limit);
  else
    return array(
      select r.id
        from generate_series(0, q.deepest - 1) l(level),
             lateral (
               select m.id from message m
                where m.queue = q.id and m.grp = p_group and m.priority = l.level and isfinite(m.vt) and m.vt <= p_now
                  and (v_headers is null or coalesce(m.headers, '{}') @> v_headers) and (v_payload is null or m.payload @> v_payload)
                order by m.vt, m.id limit p_limit for update skip locked) r
       limit p_limit);
  end if;
end
$$`,
  `/* A turn among the claims of a queue or of a group, until the end of the transaction. Others take milliseconds, but for those that
   a transaction of a caller's holds: they are not waited for. */
create or replace function {schema}.take_turn(p_purpose text, p_number bigint, p_tries int) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  for i in 1 .. p_tries loop
    if pg_try_advisory_xact_lock(lock_space(p_purpose), (p_number & 2147483647)::int) then
      return true;
    end if;
    perform pg_sleep(0.001);
  end loop;
  return false;
end
$$`,
  `create or replace function {schema}.rate_per(p_rate jsonb) returns interval
language sql immutable as $$ select (p_rate->>'per')::float8 * interval '1 millisecond' $$`,
  `/* How many more a rate allows: what is used in a slice that is partly over counts whole, so that no interval has more than the limit.
   Slices far ahead are of a clock that has been put back since; near ones are of claims that began a little later. */
create or replace function {schema}.rate_left(q {schema}.queue, p_group bigint, p_rate jsonb, p_now timestamptz) returns int
language sql stable set search_path = {schema}, pg_temp as $$
  select (p_rate->>'limit')::int - coalesce(sum(u.used), 0)::int from rate_use u
   where u.queue = q.id and u.grp = p_group and u.slice > p_now - rate_per(p_rate) * 1.01 and u.slice < p_now + interval '1 minute'
$$`,
  `/* Rolled back with the claim: then nothing was delivered. */
create or replace function {schema}.use_rate(q {schema}.queue, p_group bigint, p_rate jsonb, p_count int, p_now timestamptz) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
begin
  insert into rate_use as u (queue, grp, slice, used) values (q.id, p_group, date_bin(rate_per(p_rate) / 100, p_now, 'epoch'), p_count)
    on conflict (queue, grp, slice) do update set used = u.used + excluded.used;
  delete from rate_use where queue = q.id and grp = p_group and slice < p_now - rate_per(p_rate) * 1.02;
end
$$`,
  `/* What no rate counts any more, of groups that nobody may ever claim from again. */
create or replace function {schema}.clear_rates() returns void
language sql volatile set search_path = {schema}, pg_temp as $$
  delete from rate_use u using queue q
   where q.id = u.queue and u.slice not between clock() - coalesce(rate_per(case u.grp when -1 then q.rate else q.group_rate end) * 1.02, '1 minute') and clock() + interval '1 minute'
$$`,
  `/* How many messages of a group a claim may take that has p_taken of it. Where there is a limit it is decided by one claim at a time,
   for one of 512 sets of groups each, since the server's table of locks is small. */
create or replace function {schema}.group_left(q {schema}.queue, p_live smallint[], p_group bigint, p_taken int, p_most int, p_now timestamptz) returns int
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_left int := p_most;
begin
  if p_group = 0 or not q.fifo and q.group_concurrency is null and q.group_rate is null then
    return v_left;
  elsif p_taken = 0 and not take_turn('group ' || q.id, p_group & 511, 1) or q.fifo and p_taken > 0 then
    return 0;
  end if;
  /* In strict order too: a message whose sender committed late, or that was redriven, comes before one that is held. */
  if q.fifo or q.group_concurrency is not null then
    v_left := least(v_left, case when q.fifo then 1 else q.group_concurrency end - p_taken - held_of(q, p_live, p_group, p_now));
  end if;
  if q.group_rate is not null then
    v_left := least(v_left, rate_left(q, p_group, q.group_rate, p_now) - p_taken);
  end if;
  return v_left;
end
$$`,
  `/* How many messages of the queue a claim may take. */
create or replace function {schema}.queue_left(q {schema}.queue, p_live smallint[], p_most int, p_now timestamptz) returns int
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_left int := p_most;
begin
  if q.concurrency is null and q.rate is null then
    return v_left;
  elsif not take_turn('running', q.id, 20) then
    return 0;
  end if;
  if q.concurrency is not null then
    v_left := least(v_left, q.concurrency - held_of(q, p_live, null, p_now));
  end if;
  if q.rate is not null then
    v_left := least(v_left, rate_left(q, -1, q.rate, p_now));
  end if;
  return v_left;
end
$$`,
  `create or replace function {schema}.goes_round(q {schema}.queue) returns boolean
language sql immutable as $$
  select q.fifo or q.fair or coalesce(q.concurrency, q.group_concurrency) is not null or coalesce(q.rate, q.group_rate) is not null
$$`,
  `/* As lock_ready, but round the groups: each claim goes on behind the group that was served last, which makes that the least
   recently served first, and takes a few messages of each at a time, of each as many. Where it goes on is a sequence, since that is
   hot, and no claim may wait for another one's transaction. One that a flip overtook gives nothing: messages that count were moved. */
create or replace function {schema}.lock_grouped(q {schema}.queue, p_live smallint[], p_limit int, p_now timestamptz, p_filter jsonb) returns bigint[]
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_ids bigint[] := '{}';
  v_groups bigint[] := '{}';
  v_some bigint[];
  v_left int := queue_left(q, p_live, p_limit, p_now);
  v_turn regclass := own_relation('turn_' || q.id);
  v_group bigint;
  v_at bigint := coalesce(pg_sequence_last_value(v_turn), -1);
  v_start bigint := v_at;
  v_wrapped boolean := false;
  v_once_round boolean := false;
  v_again boolean := false;
  v_vain int := 0;
  v_of int;
  v_portion int;
  v_share int;
begin
  /* Once round without finding anything ends it, and so do many groups in vain: the next claim goes on there. */
  while cardinality(v_ids) < v_left and v_vain < 500 loop
    v_group := next_group(q, p_live, v_at);
    if v_group is null then
      exit when v_wrapped;
      v_wrapped := true;
      v_again := v_once_round;
      v_once_round := true;
      v_at := -1;
      continue;
    end if;
    v_at := v_group;
    v_of := case when v_once_round and (v_group > v_start or v_again) then coalesce(cardinality(array_positions(v_groups, v_group)), 0) else 0 end;
    v_again := v_again or v_once_round and v_group > v_start;
    v_portion := greatest(1, p_limit / 8, v_of);
    v_share := group_left(q, p_live, v_group, v_of, least(v_left - cardinality(v_ids), v_portion), p_now);
    v_some := '{}';
    if v_share > 0 then
      v_some := lock_group(q, p_live, v_group, v_of + v_share, p_now, p_filter);
      if v_of > 0 then
        /* Those that this claim has taken before are found again. */
        v_some := array(select s.id from unnest(v_some) with ordinality s(id, n) where s.id not in (select unnest(v_ids)) order by s.n limit v_share);
      end if;
    end if;
    v_vain := case when v_some = '{}' then v_vain + 1 else 0 end;
    if v_some <> '{}' then
      v_wrapped := false;
      v_ids := v_ids || v_some;
      v_groups := v_groups || array_fill(v_group, array[cardinality(v_some)]);
      if cardinality(v_ids) = v_left and v_left = p_limit and cardinality(v_some) < v_portion then
        v_at := v_group - 1; /* Cut short: the next claim begins with it. */
      end if;
    end if;
  end loop;
  if cardinality(p_live) = 1 and p_live is distinct from (select s.live from segment s where s.storage = q.storage order by s.generation desc limit 1) then
    return '{}';
  end if;
  if v_ids <> '{}' then
    perform count_rates(q, v_groups, clock());
  end if;
  if v_turn is not null then
    perform setval(v_turn, case when v_at >= 0 then v_at else 9223372036854775807 end); /* As good as from the beginning. */
  end if;
  return v_ids;
end
$$`,
  `create or replace function {schema}.count_rates(q {schema}.queue, p_groups bigint[], p_now timestamptz) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  if q.rate is not null then
    perform use_rate(q, -1, q.rate, cardinality(p_groups), p_now);
  end if;
  if q.group_rate is not null then
    perform use_rate(q, u.grp, q.group_rate, count(*)::int, p_now) from unnest(p_groups) u(grp) where u.grp <> 0 group by u.grp;
  end if;
end
$$`,
  `/* Changes a message that nobody holds. p_patch: {payload, headers, priority, delay, at, expireAt, group}, times in milliseconds. One that waits for others
   is ready no earlier than they let it be. outcome: edited; held, by a reader; or no row. */
create or replace function {schema}.try_edit(p_queue text, p_id bigint, p_patch jsonb) returns table (fault jsonb, outcome text, visible_at timestamptz)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_at timestamptz;
  v_held boolean;
  v_vt timestamptz;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::text, null::timestamptz;
    return;
  end if;
  if items_fault(q, jsonb_build_array(p_patch)) is not null then
    return query select items_fault(q, jsonb_build_array(p_patch)) - 'index', null::text, null::timestamptz;
    return;
  end if;
  for v_pass in 1 .. 2 loop
    execute format('select message_state(lease, vt, $3) = ''inFlight'' from %I where queue = $1 and id = $2 for no key update', message_table(q.storage))
       into v_held using q.id, p_id, v_now;
    exit when v_held is not null;
    perform flipping(q.storage, null);
  end loop;
  if v_held is null then
    return;
  elsif v_held then
    return query select null::jsonb, 'held', null::timestamptz;
    return;
  end if;
  v_at := case when p_patch ?| '{delay,at}' then ready_at(p_patch, v_now) end;
  execute format('update %I set
      payload = coalesce($3->''payload'', payload), headers = case when $3 ? ''headers'' then $3->''headers'' else headers end,
      priority = coalesce(($3->>''priority'')::int, priority), vt = case when vt = ''infinity'' then vt else coalesce($4, vt) end, lease = null,
      expire_at = case when $3 ? ''expireAt'' then to_timestamp(($3->>''expireAt'')::float8 / 1000) else expire_at end,
      group_name = coalesce($3->>''group'', group_name), grp = group_of($5, coalesce($3->>''group'', group_name))
    where queue = $1 and id = $2 returning vt', message_table(q.storage)) into v_vt using q.id, p_id, p_patch, v_at, q.ungrouped;
  update dependency set at = v_at where child = p_id and v_at is not null;
  return query select null::jsonb, 'edited', nullif(v_vt, 'infinity');
end
$$`,
  `/* Takes a key in the caller's transaction: first is true where nobody has it, and the work is to be done. Waits for a transaction that
   has taken it and is open; where that commits, the result is what it kept. */
create or replace function {schema}.try_once(p_key text, p_keep interval) returns table (first boolean, result jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_now timestamptz := clock();
begin
  loop
    insert into once (key, at, keep_until) values (p_key, v_now, v_now + p_keep) on conflict (key) do nothing;
    if found then
      return query select true, null::jsonb;
      return;
    end if;
    return query select false, o.result from once o where o.key = p_key;
    exit when found; /* not there: expired at this very moment */
  end loop;
end
$$`,
  `/* Of the transaction that took the key. */
create or replace function {schema}.keep_once(p_key text, p_result jsonb) returns void
language sql volatile set search_path = {schema}, pg_temp as $$
  update once set result = p_result where key = p_key
$$`,
  `/* True for the one transaction that is to do the work of this key. */
create or replace function {schema}.once(key text, keep interval default '30 days') returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault(coalesce(
    argument_fault('key', length(key) between 1 and 500),
    argument_fault('keep', keep > '0' and isfinite(keep))));
  return (select first from try_once(key, keep));
end
$$`,
  `create or replace function {schema}.expire_once(p_limit int default 5000) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_now timestamptz := clock();
  v_count int;
begin
  delete from once where key in (select o.key from once o where o.keep_until < v_now order by o.keep_until limit p_limit for update skip locked);
  get diagnostics v_count = row_count;
  return v_count;
end
$$`,
  `create or replace function {schema}.installation_id() returns text
language sql stable set search_path = {schema}, pg_temp as 'select id from installation'`,
  `/* What became of messages whose queue keeps that. A message that came back from the dead has the newest. */
create or replace function {schema}.keep_results(q {schema}.queue, p_ids bigint[], p_outcome text, p_values jsonb, p_errors jsonb[], p_now timestamptz) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
begin
  insert into result (id, queue, outcome, value, error, at, until)
  select u.id, q.id, p_outcome, p_values->(u.n::int - 1), u.error, p_now, p_now + q.result_retention from unnest(p_ids, p_errors) with ordinality u(id, error, n)
  on conflict (id) do update set queue = excluded.queue, outcome = excluded.outcome, value = excluded.value, error = excluded.error, at = excluded.at, until = excluded.until;
end
$$`,
  `/* Of those that have ended. By the primary key, however many are asked for. */
create or replace function {schema}.results_of(p_ids bigint[]) returns table (id bigint, outcome text, value jsonb, error jsonb)
language plpgsql stable set search_path = {schema}, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
begin
  return query select r.id, r.outcome, r.value, r.error from unnest(p_ids) u(id), lateral (select * from result x where x.id = u.id offset 0) r where r.until > clock();
end
$$`,
  `/* How far a handler is. Not in the message's row, which a transaction may have locked; only the holder of the lease may say it. */
create or replace function {schema}.try_progress(p_queue text, p_id bigint, p_lease bigint, p_value float8, p_note text) returns table (fault jsonb, id bigint)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
#variable_conflict use_column
declare
  q queue;
  v_held boolean;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  execute format('select true from %I where queue = $1 and id = $2 and lease = $3', message_table(q.storage)) into v_held using q.id, p_id, p_lease;
  if v_held then
    return query insert into progress as p (id, value, note, at) values (p_id, p_value, p_note, clock())
      on conflict (id) do update set value = excluded.value, note = excluded.note, at = excluded.at returning null::jsonb, p.id;
  end if;
end
$$`,
  `/* Results whose time is over, and how far messages were that are gone since a day. */
create or replace function {schema}.clear_results(p_limit int default 5000) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
begin
  delete from result where id in (select r.id from result r where r.until < clock() order by r.until limit p_limit for update skip locked);
  delete from progress where at < clock() - interval '1 day';
end
$$`,
  `/* The transactions whose effects the calling statement sees, as ranges of their ids: a position in a stream. An event is in a window
   when its transaction is in the one position and not in the other, whenever it committed and whatever its id is (PgQ's rule,
   as a difference of sets). The own transaction is left out: what it publishes is for a later window. */
create or replace function {schema}.seen_now() returns int8multirange
language sql stable set search_path = {schema}, pg_temp as $$
  select int8multirange(int8range(0, pg_snapshot_xmax(s)::text::bigint)) - coalesce(
      (select range_agg(int8range(x, x, '[]'))
         from (select pg_snapshot_xip(s)::text::bigint union all select pg_current_xact_id_if_assigned()::text::bigint) t(x) where x is not null), '{}')
    from pg_current_snapshot() s
$$`,
  `create or replace function {schema}.event_table(p_stream int) returns text
language sql immutable as $$ select 'event_s' || p_stream $$`,
  `/* The events of the transactions $1, for dynamic SQL: a look-up in the index for each range of them, with what else is asked of an event i.
   The offset keeps that inside: by ids alone the planner would read the whole index. */
create or replace function {schema}.events_of(p_stream int, p_where text default 'true') returns text
language sql immutable set search_path = {schema}, pg_temp as $$
  select format('unnest($1) r, lateral (select * from %I i where i.txid >= coalesce(lower(r), 0) and i.txid < coalesce(upper(r), 9223372036854775807) and %s offset 0) e', event_table(p_stream), p_where)
$$`,
  `/* The same from an id to another, both included. A range of one transaction is asked for as one: before 18 only that ends the search in
   the index at the last id, and of a million events in one transaction each batch would go through all that follow. */
create or replace function {schema}.events_between(p_stream int, p_from text, p_to text, p_where text default 'true') returns text
language sql immutable set search_path = {schema}, pg_temp as $$
  select format('unnest($1) r, lateral (
      select * from %1$I i where upper(r) - lower(r) = 1 and i.txid = lower(r) and %2$s
      union all
      select * from %1$I i where upper(r) - lower(r) is distinct from 1 and i.txid >= coalesce(lower(r), 0) and i.txid < coalesce(upper(r), 9223372036854775807) and %2$s offset 0) e',
    event_table(p_stream), format('i.id >= %s and i.id <= %s and %s', p_from, p_to, p_where))
$$`,
  `/* What was ever published, rolled back or not: a hint for ticks and metrics, never for what is in a batch. */
create or replace function {schema}.published(p_stream int) returns bigint
language sql volatile set search_path = {schema}, pg_temp as $$
  select coalesce(pg_sequence_last_value(own_relation('sent_' || p_stream)), 0)
$$`,
  `/* Positions are sets of transaction ids, which mean nothing in another cluster: one restored there is refused until it is repaired. */
create or replace function {schema}.cluster_fault() returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('code', 'other_cluster', 'stored', i.cluster, 'actual', c.system_identifier::text)
    from installation i, pg_control_system() c where i.cluster is distinct from c.system_identifier::text
$$`,
  `/* Keeps the tables of a stream from being dropped while the transaction lives; false where they are gone already. */
create or replace function {schema}.hold_stream(p_stream int) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform pg_advisory_xact_lock_shared(lock_space('stream'), p_stream);
  return pg_relation_size(own_relation(event_table(p_stream) || '_0')) is not null;
end
$$`,
  `/* The same for who looks at many streams, and rather passes one than waits for the end of a drop. */
create or replace function {schema}.hold_stream_if_free(p_stream int) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  return pg_try_advisory_xact_lock_shared(lock_space('stream'), p_stream) and pg_relation_size(own_relation(event_table(p_stream) || '_0')) is not null;
end
$$`,
  `create or replace function {schema}.subscription_fault(p_stream text, p_subscription text) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select case when exists (select from queue where name = p_stream and kind = 'stream' and dropped_at is null)
    then jsonb_build_object('code', 'subscription_not_found', 'stream', p_stream, 'subscription', p_subscription)
    else queue_fault(p_stream, 'stream') end
$$`,
  `create or replace function {schema}.subscription_of(p_stream text, p_subscription text) returns {schema}.subscription
language sql stable set search_path = {schema}, pg_temp as $$
  select s from queue q join subscription s on s.stream = q.id
   where q.name = p_stream and q.kind = 'stream' and q.dropped_at is null and s.name = p_subscription
$$`,
  `create or replace function {schema}.epoch_ms_of(p_length interval) returns float8
language sql immutable as $$ select round(extract(epoch from p_length) * 1000)::float8 $$`,
  `create or replace function {schema}.stream_info(q {schema}.queue) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object(
    'id', q.id::text, 'name', q.name, 'createdAt', epoch_ms(q.created_at), 'notify', q.notify,
    'rotationPeriod', epoch_ms_of(t.rotation_period), 'retention', epoch_ms_of(t.retention),
    'tickerMaxCount', t.ticker_max_count, 'tickerMaxLag', epoch_ms_of(t.ticker_max_lag), 'tickerIdlePeriod', epoch_ms_of(t.ticker_idle_period),
    'tickerPaused', t.ticker_paused, 'externalTicker', t.external_ticker, 'closed', t.closed, 'maxEventsPerTransaction', t.per_transaction,
    'lagLimit', t.lag_limit, 'whenStuck', t.when_stuck)
    from stream t where t.id = q.id
$$`,
  `create or replace function {schema}.stream_of(p_name text) returns {schema}.queue
language sql stable set search_path = {schema}, pg_temp as $$
  select q from queue q where q.name = p_name and q.kind = 'stream' and q.dropped_at is null
$$`,
  `/* Lengths of time in milliseconds, in an object of options as the SQL functions and the client say them. */
create or replace function {schema}.lag_wanted(p jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select case when jsonb_typeof(p) = 'object' then jsonb_build_object('age', partition_measure('time', p->'age'), 'events', (p->>'events')::bigint, 'bytes', (p->>'bytes')::bigint) end
$$`,
  `create or replace function {schema}.stream_differences(q {schema}.queue, p_options jsonb) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('code', 'options_differ', 'queue', q.name, 'kind', 'stream',
           'differences', jsonb_agg(jsonb_build_object('option', key, 'stored', stored, 'requested', value) order by key))
    from (select key, stream_info(q)->key as stored,
                 case when key in ('rotationPeriod', 'retention', 'tickerMaxLag', 'tickerIdlePeriod') then to_jsonb(epoch_ms_of((value #>> '{}')::interval))
                      when key = 'lagLimit' then coalesce(lag_wanted(value), 'null')
                      else value end as value
            from jsonb_each(p_options)) o
   where stored is distinct from value
  having count(*) > 0
$$`,
  `/* Creates a stream or finds it. */
create or replace function {schema}.try_create_stream(p_name text, p_options jsonb, p_must_be_new boolean)
returns table (fault jsonb, created boolean, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  q queue;
begin
  loop
    insert into queue (name, kind, created_at) values (p_name, 'stream', clock())
      on conflict (name) where dropped_at is null do nothing returning * into q;
    exit when found;
    select * into q from queue where name = p_name and dropped_at is null;
    if found then
      return query select case when q.kind <> 'stream' then queue_fault(p_name, 'stream')
          when p_must_be_new then jsonb_build_object('code', 'queue_already_exists', 'queue', p_name, 'kind', 'stream')
          else stream_differences(q, p_options) end, false, stream_info(q);
      return;
    end if;
    /* It was dropped between the two statements. */
  end loop;
  insert into stream (id) values (q.id);
  perform create_event_tables(q.id);
  insert into stream_segment (stream, generation, current, at, sent) values (q.id, 1, 0, clock(), 0);
  perform set_stream(q.id, p_options);
  perform make_tick(q.id, null, null);
  return query select null::jsonb, true, stream_info(n) from queue n where n.id = q.id;
end
$$`,
  `/* One table with three segments for each stream: rotation empties one by TRUNCATE, which leaves no dead rows. */
create or replace function {schema}.create_event_tables(p_stream int) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_table text := event_table(p_stream);
begin
  execute format('create sequence %I.%I', current_schema(), 'sent_' || p_stream);
  execute format('create table %I.%I (
      txid bigint not null default pg_current_xact_id()::text::bigint, id bigint not null default nextval(%L), at timestamptz not null, segment smallint not null,
      type text not null, key text, data jsonb, headers jsonb, extra1 text, extra2 text, extra3 text, extra4 text) partition by list (segment)',
    current_schema(), v_table, format('%I.event_id', current_schema()));
  execute format('create index %I on %I (txid, id)', v_table || '_txid', v_table);
  for v_segment in 0 .. 2 loop
    execute format('create table %I.%I partition of %I for values in (%s) with (autovacuum_vacuum_insert_threshold = 100000, autovacuum_analyze_threshold = 100000)',
      current_schema(), v_table || '_' || v_segment, v_table, v_segment);
  end loop;
end
$$`,
  `/* For verify: what is missing or changed of the tables of streams. */
create or replace function {schema}.event_table_differences() returns setof text
language sql stable set search_path = {schema}, pg_temp as $$
  with wanted as (
    select q.id, q.name as stream, event_table(q.id) || part as name, part, own_relation(event_table(q.id) || part) as relation
      from queue q, unnest('{"",_0,_1,_2}'::text[]) part where q.kind = 'stream' and q.dropped_at is null)
  select format('table %s: missing', name) from wanted where relation is null
  union all
  select format('table %s: is no segment of %s', name, event_table(id)) from wanted w
   where part <> '' and relation is not null and not exists (select from pg_inherits i where i.inhrelid = w.relation and i.inhparent = own_relation(event_table(w.id)))
  union all
  select format('table %s: its columns are %s', name, columns)
    from wanted w, lateral (select string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), case when attnotnull then 'not null' end, case when atthasdef then 'default' end), ', ' order by attnum)
      from pg_attribute where attrelid = w.relation and attnum > 0 and not attisdropped) c(columns)
   where columns <> 'txid bigint not null default, id bigint not null default, at timestamp with time zone not null, segment smallint not null, type text not null, '
     'key text, data jsonb, headers jsonb, extra1 text, extra2 text, extra3 text, extra4 text'
  union all
  select format('index %s_txid: %s', name, case when i.invalid then 'invalid' else 'missing' end)
    from wanted w left join lateral (select not indisvalid from pg_index where indrelid = w.relation and pg_get_indexdef(indexrelid) like '%(txid, id)' order by indisvalid desc limit 1) i(invalid) on true
   where relation is not null and i.invalid is not false
  union all
  select format('sequence sent_%s: missing', id) from wanted where part = '' and own_relation('sent_' || id) is null
  union all
  select format('stream %s: its %s missing', stream, case when exists (select from stream s where s.id = w.id) then 'segments are' else 'options are' end)
    from wanted w where part = '' and not (exists (select from stream s where s.id = w.id) and exists (select from stream_segment s where s.stream = w.id))
$$`,
  `create or replace function {schema}.set_stream(p_id int, p_patch jsonb) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  update stream set
    rotation_period = coalesce((p_patch->>'rotationPeriod')::interval, rotation_period),
    retention = coalesce((p_patch->>'retention')::interval, retention),
    ticker_max_count = coalesce((p_patch->>'tickerMaxCount')::int, ticker_max_count),
    ticker_max_lag = coalesce((p_patch->>'tickerMaxLag')::interval, ticker_max_lag),
    ticker_idle_period = coalesce((p_patch->>'tickerIdlePeriod')::interval, ticker_idle_period),
    ticker_paused = coalesce((p_patch->>'tickerPaused')::boolean, ticker_paused),
    external_ticker = coalesce((p_patch->>'externalTicker')::boolean, external_ticker),
    closed = coalesce((p_patch->>'closed')::boolean, closed),
    per_transaction = case when p_patch ? 'maxEventsPerTransaction' then (p_patch->>'maxEventsPerTransaction')::int else per_transaction end,
    lag_limit = case when p_patch ? 'lagLimit' then lag_wanted(p_patch->'lagLimit') else lag_limit end,
    when_stuck = coalesce(p_patch->>'whenStuck', when_stuck)
   where id = p_id;
  update queue set notify = coalesce(p_patch->>'notify', notify) where id = p_id and p_patch ? 'notify';
end
$$`,
  `create or replace function {schema}.try_update_stream(p_name text, p_patch jsonb) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue;
begin
  q := stream_of(p_name);
  /* In the order of who drops it. */
  perform hold_stream(q.id);
  select * into q from queue where id = q.id and dropped_at is null for no key update;
  if q.id is null then
    return query select queue_fault(p_name, 'stream'), null::jsonb;
    return;
  end if;
  perform set_stream(q.id, p_patch);
  return query select null::jsonb, stream_info(n) from queue n where n.id = q.id;
end
$$`,
  `/* The triggers that feed a stream, or fed one of this name; inherited: a partition has it from its parent. */
create or replace function {schema}.captures_of(p_stream text) returns table (relation oid, name name, stream int, inherited boolean)
language sql stable set search_path = {schema}, pg_temp as $$
  select t.tgrelid, t.tgname, (o->>'id')::int, t.tgparentid <> 0
    from pg_trigger t,
         /* Other triggers have other arguments, or none; this is not to be evaluated for them. */
         lateral (select case when t.tgfoid = any (array(select oid from pg_proc where pronamespace = own_schema() and proname in ('capture', 'capture_row')))
           then convert_from(substr(t.tgargs, 1, length(t.tgargs) - 1), getdatabaseencoding())::jsonb end) a(o)
   where o->>'stream' = p_stream
$$`,
  `create or replace function {schema}.stream_in_use_fault(q {schema}.queue) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('code', 'stream_in_use', 'stream', q.name, 'subscriptions', subscriptions, 'tables', tables)
    from (select array(select name from subscription where stream = q.id order by name),
                 array(select distinct relation::regclass::text from captures_of(q.name) where stream = q.id and not inherited order by 1)) u(subscriptions, tables)
   where subscriptions || tables <> '{}'
$$`,
  `/* Refused while there are subscriptions or captured tables, unless forced. Waits for every transaction that publishes to it. */
create or replace function {schema}.try_drop_stream(p_name text, p_force boolean) returns table (fault jsonb, existed boolean)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  q queue;
  v_fault jsonb;
begin
  select * into q from queue where name = p_name and dropped_at is null;
  v_fault := case when q.kind <> 'stream' then queue_fault(p_name, 'stream') when not p_force then stream_in_use_fault(q) end;
  if q.id is not null and v_fault is null then
    /* Before the row: who publishes or subscribes has this one, and may come to the row. */
    perform pg_advisory_xact_lock(lock_space('stream'), q.id);
    select * into q from queue where id = q.id and dropped_at is null for update;
    v_fault := case when not p_force then stream_in_use_fault(q) end;
  end if;
  if q.id is null or v_fault is not null then
    return query select v_fault, q.id is not null;
    return;
  end if;
  perform forget_subscription(id) from subscription where stream = q.id order by id;
  delete from tick where stream = q.id;
  delete from forward_stream where stream = q.id;
  delete from stream_segment where stream = q.id;
  delete from stream where id = q.id;
  execute format('drop table %I.%I', current_schema(), event_table(q.id));
  update queue set dropped_at = clock() where id = q.id;
  perform drop_counters();
  return query select null::jsonb, true;
end
$$`,
  `create or replace function {schema}.try_list_streams(p_after text, p_limit int) returns table (info jsonb)
language sql stable set search_path = {schema}, pg_temp as $$
  select stream_info(q) from queue q where q.kind = 'stream' and q.dropped_at is null and (p_after is null or q.name > p_after) order by q.name limit p_limit
$$`,
  `create or replace function {schema}.lag_fine(p jsonb) returns boolean
language sql immutable set search_path = {schema}, pg_temp as $$
  select coalesce(jsonb_typeof(p), 'null') = 'null' or jsonb_typeof(p) = 'object' and p - '{age,events,bytes}'::text[] = '{}'
     and (not p ? 'age' or partition_measure('time', p->'age') > 0)
     and not exists (select from jsonb_each(p - 'age') where (partition_measure('id', value) > 0) is not true)
$$`,
  `create or replace function {schema}.try_get_stream(p_name text) returns table (fault jsonb, info jsonb)
language sql stable set search_path = {schema}, pg_temp as $$
  select case when q.id is null then queue_fault(p_name, 'stream') end, case when q.id is not null then stream_info(q) end from stream_of(p_name) q
$$`,
  `/* The first option that there is not, or that cannot be meant, of those that the SQL functions were given. */
create or replace function {schema}.stream_options_fault(p_options jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select case
    when jsonb_typeof(p_options) is distinct from 'object' then argument_fault('options', false)
    else coalesce(
      (select argument_fault(key, false) from jsonb_object_keys(p_options) key
        where key not in ('notify', 'rotationPeriod', 'retention', 'tickerMaxCount', 'tickerMaxLag', 'tickerIdlePeriod', 'tickerPaused', 'externalTicker', 'closed', 'maxEventsPerTransaction', 'lagLimit', 'whenStuck') order by key limit 1),
      (select argument_fault(key, false) from jsonb_each_text(p_options) where key in ('rotationPeriod', 'tickerMaxLag', 'tickerIdlePeriod') and coalesce(partition_measure('time', to_jsonb(value)), 0) <= 0 limit 1),
      argument_fault('retention', not p_options ? 'retention' or partition_measure('time', p_options->'retention') >= 0),
      (select argument_fault(key, false) from jsonb_each(p_options) where key in ('tickerPaused', 'externalTicker', 'closed') and jsonb_typeof(value) <> 'boolean' limit 1),
      argument_fault('tickerMaxCount', not p_options ? 'tickerMaxCount' or partition_measure('id', p_options->'tickerMaxCount') between 1 and 2147483647),
      argument_fault('maxEventsPerTransaction', coalesce(jsonb_typeof(p_options->'maxEventsPerTransaction'), 'null') = 'null'
        or partition_measure('id', p_options->'maxEventsPerTransaction') between 0 and 2147483647),
      argument_fault('lagLimit', lag_fine(p_options->'lagLimit')),
      argument_fault('whenStuck', coalesce(p_options->>'whenStuck', 'block') in ('block', 'expire')),
      argument_fault('notify', coalesce(p_options->>'notify', 'off') in ('off', 'transaction')))
  end
$$`,
  `create or replace function {schema}.create_stream(name text, options jsonb default '{}', out id int, out created boolean)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(stream_options_fault(options));
  perform raise_fault(argument_fault('name', name ~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$'));
  select * into v from try_create_stream(name, options, false);
  perform raise_fault(v.fault);
  id := (v.info->>'id')::int;
  created := v.created;
end
$$`,
  `create or replace function {schema}.update_stream(name text, patch jsonb) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(stream_options_fault(patch));
  select * into v from try_update_stream(name, patch);
  perform raise_fault(v.fault);
  return v.info;
end
$$`,
  `create or replace function {schema}.drop_stream(name text, force boolean default false) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_drop_stream(name, coalesce(force, false));
  perform raise_fault(v.fault);
  return v.existed;
end
$$`,
  `/* Whether the stream takes events of this transaction: so many more. */
create or replace function {schema}.publish_fault(q {schema}.queue, p_name text, p_count int) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  t stream;
  v_before int;
begin
  if q.id is null or not hold_stream(q.id) then
    return queue_fault(p_name, 'stream');
  end if;
  select * into t from stream where id = q.id;
  if t.closed and current_setting('session_replication_role') <> 'replica' then
    return jsonb_build_object('code', 'stream_closed', 'stream', p_name);
  elsif t.per_transaction is not null then
    execute format('select count(*) from (select from %I where txid = $1 limit $2) e', event_table(q.id)) into v_before
      using pg_current_xact_id()::text::bigint, t.per_transaction;
    if v_before + p_count > t.per_transaction then
      return jsonb_build_object('code', 'transaction_limit', 'stream', p_name, 'limit', t.per_transaction);
    end if;
  end if;
  return cluster_fault();
end
$$`,
  `/* Where new events go: a transaction of an old snapshot may write to a segment that is no longer current, and loses nothing by it, since readers look into all. */
create or replace function {schema}.event_leaf(p_stream int, out leaf text, out segment smallint)
language sql stable set search_path = {schema}, pg_temp as $$
  select event_table(p_stream) || '_' || s.current, s.current from stream_segment s where s.stream = p_stream order by s.generation desc limit 1
$$`,
  `/* Appends events in the caller's transaction, in order, all or nothing. p_events: an array of {type, data, key, headers, extra1 … extra4}.
   Takes no lock that another producer or a reader waits for; any isolation level. */
create or replace function {schema}.try_publish(p_stream text, p_events jsonb) returns table (fault jsonb, id bigint)
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
#variable_conflict use_column
declare
  q queue := stream_of(p_stream);
  v_fault jsonb := publish_fault(q, p_stream, jsonb_array_length(p_events));
  w record;
begin
  if v_fault is not null then
    return query select v_fault, null::bigint;
    return;
  end if;
  select * into w from event_leaf(q.id);
  return query execute format(
    'insert into %I (at, segment, type, key, data, headers, extra1, extra2, extra3, extra4)
     select $1, $2, e->>''type'', e->>''key'', e->''data'', e->''headers'', e->>''extra1'', e->>''extra2'', e->>''extra3'', e->>''extra4''
       from jsonb_array_elements($3) with ordinality t(e, n) order by n returning null::jsonb, id', w.leaf)
    using clock(), w.segment, p_events;
  perform count_sent(q, jsonb_array_length(p_events));
end
$$`,
  `create or replace function {schema}.append_event(q {schema}.queue, p_type text, p_data jsonb, p_extra text[], p_key text, p_headers jsonb) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  w record;
  v_id bigint;
begin
  select * into w from event_leaf(q.id);
  execute format('insert into %I (at, segment, type, key, data, headers, extra1, extra2, extra3, extra4) values ($1, $2, $3, $4, $5, $6, $7[1], $7[2], $7[3], $7[4]) returning id', w.leaf)
     into v_id using clock(), w.segment, p_type, p_key, p_data, p_headers, p_extra;
  perform count_sent(q, 1);
  return v_id;
end
$$`,
  `/* For triggers and other languages: PgQ's insert_event, its data as JSON. */
create or replace function {schema}.insert_event(
  stream text, type text, data jsonb, extra1 text default null, extra2 text default null, extra3 text default null, extra4 text default null,
  key text default null, headers jsonb default null) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_variable
declare
  q queue := stream_of(stream);
begin
  perform raise_fault(coalesce(
    argument_fault('type', length(type) between 1 and 255),
    argument_fault('key', key is null or length(key) <= 500),
    argument_fault('headers', coalesce(jsonb_typeof(headers), 'object') = 'object')));
  perform raise_fault(publish_fault(q, stream, 1));
  return append_event(q, type, data, array[extra1, extra2, extra3, extra4], key, headers);
end
$$`,
  `/* Those of its batches that are open. Looked up one by one: a join may read all ends there ever were. */
create or replace function {schema}.open_batches(b {schema}.batch) returns bigint[]
language sql stable set search_path = {schema}, pg_temp set enable_seqscan = off as $$
  select array(select o from unnest(b.open || case when b.lease is not null then array[b.id] else '{}' end) o
                where (select e.batch from batch_end e where e.subscription = b.subscription and e.batch = o) is null order by o)
$$`,
  `create or replace function {schema}.newest_batch(p_subscription int) returns {schema}.batch
language plpgsql stable set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_sort = off as $$
declare
  b batch;
begin
  select * into b from batch where subscription = p_subscription order by id desc limit 1;
  return b;
end
$$`,
  `/* What a subscription has done with: everything up to here may go. It holds what is open, and what is left of a window. */
create or replace function {schema}.done_up_to(p_subscription int) returns int8multirange
language sql stable set search_path = {schema}, pg_temp as $$
  select b.seen
      * coalesce((select base from slice where subscription = b.subscription and root = b.rest_root and number = b.rest), b.seen)
      * coalesce((select range_intersect_agg(base) from batch where subscription = b.subscription and id = any (open_batches(b))), b.seen)
    from newest_batch(p_subscription) b
$$`,
  `/* Where to begin: latest, earliest, {tick} or {time}, in epoch milliseconds; a time means the last tick before it. Null: there is no such tick. */
create or replace function {schema}.start_of(p_stream int, p_from jsonb, out seen int8multirange, out tick bigint, out sent bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  t tick;
begin
  if p_from = '"latest"' then
    select n.id into tick from tick n where n.stream = p_stream order by n.id desc limit 1;
    sent := published(p_stream);
    select seen_now() into seen;
    return;
  end if;
  if p_from ? 'tick' then
    select * into t from tick n where n.stream = p_stream and n.id = (p_from->>'tick')::bigint;
    if not found then
      return;
    end if;
  elsif p_from ? 'time' then
    select * into t from tick n where n.stream = p_stream and n.at <= to_timestamp((p_from->>'time')::float8 / 1000) order by n.id desc limit 1;
  end if;
  seen := coalesce(t.seen, '{}');
  tick := coalesce(t.id, 0);
  sent := coalesce(t.sent, (select s.sent from stream_segment s where s.stream = p_stream and s.generation >= (select max(generation) - 2 from stream_segment where stream = p_stream) order by s.generation limit 1), 0);
end
$$`,
  `/* A subscription begins, or goes on, here. What was open is nobody's any more; retries stay. */
create or replace function {schema}.set_position(p_subscription int, p_seen int8multirange, p_tick bigint, p_sent bigint) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_now timestamptz := clock();
  v_open bigint[] := open_batches(newest_batch(p_subscription));
begin
  /* Who is just finishing one comes first. */
  perform from batch where subscription = p_subscription and id = any (v_open) order by id for update;
  insert into batch_end (subscription, batch, outcome, at, events) select p_subscription, o, 'dropped', v_now, 0 from unnest(v_open) o on conflict do nothing;
  delete from slice where subscription = p_subscription;
  insert into batch (subscription, at, seen, tick, sent, open, base, events) values (p_subscription, v_now, p_seen, coalesce(p_tick, 0), p_sent, '{}', p_seen, 0);
end
$$`,
  `create or replace function {schema}.subscription_info(s {schema}.subscription) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('stream', (select name from queue where id = s.stream), 'name', s.name, 'createdAt', epoch_ms(s.created_at), 'lease', epoch_ms_of(s.lease),
    'maxAttempts', s.max_attempts, 'backoff', s.backoff, 'lagLimit', s.lag_limit, 'whenStuck', s.when_stuck,
    'stuckAt', epoch_ms(s.stuck_at), 'expiredAt', epoch_ms(s.expired_at))
$$`,
  `create or replace function {schema}.subscription_differences(s {schema}.subscription, p_options jsonb) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('code', 'options_differ', 'queue', s.name, 'kind', 'subscription', 'stream', (select name from queue where id = s.stream),
           'differences', jsonb_agg(jsonb_build_object('option', key, 'stored', stored, 'requested', value) order by key))
    from (select key, subscription_info(s)->key as stored,
                 case key when 'lease' then to_jsonb(epoch_ms_of((value #>> '{}')::interval)) when 'lagLimit' then coalesce(lag_wanted(value), 'null')
                          when 'backoff' then coalesce(backoff_wanted(value), 'null') else value end as value
            from jsonb_each(p_options)) o
   where stored is distinct from value
  having count(*) > 0
$$`,
  `/* Creates a subscription or finds it, which leaves it where it is. While it begins, no segment is emptied. */
create or replace function {schema}.try_create_subscription(p_stream text, p_name text, p_options jsonb, p_from jsonb, p_must_be_new boolean)
returns table (fault jsonb, created boolean, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  q queue := stream_of(p_stream);
  s subscription;
  w record;
begin
  if q.id is null or not hold_stream(q.id) or isolation_fault() is not null or cluster_fault() is not null then
    return query select case when q.id is null then queue_fault(p_stream, 'stream') else coalesce(isolation_fault(), cluster_fault(), queue_fault(p_stream, 'stream')) end, null::boolean, null::jsonb;
    return;
  end if;
  perform pg_advisory_xact_lock_shared(lock_space('rotation'), q.id);
  select * into w from start_of(q.id, p_from);
  if w.seen is null then
    return query select jsonb_build_object('code', 'tick_not_found', 'stream', p_stream, 'tick', p_from->'tick'), null::boolean, null::jsonb;
    return;
  end if;
  loop
    insert into subscription (stream, name, created_at) values (q.id, p_name, clock()) on conflict (stream, name) do nothing returning * into s;
    exit when found;
    select * into s from subscription where stream = q.id and name = p_name;
    if found then
      return query select case when p_must_be_new then jsonb_build_object('code', 'queue_already_exists', 'queue', p_name, 'kind', 'subscription')
        else subscription_differences(s, p_options) end, false, subscription_info(s);
      return;
    end if;
    /* It was dropped between the two statements. */
  end loop;
  perform set_subscription(s.id, p_options);
  perform set_position(s.id, w.seen, w.tick, w.sent);
  return query select null::jsonb, true, subscription_info(n) from subscription n where n.id = s.id;
end
$$`,
  `create or replace function {schema}.set_subscription(p_id int, p_patch jsonb) returns void
language sql volatile set search_path = {schema}, pg_temp as $$
  update subscription set
    lease = coalesce((p_patch->>'lease')::interval, lease),
    max_attempts = case when p_patch ? 'maxAttempts' then (p_patch->>'maxAttempts')::int else max_attempts end,
    backoff = case when p_patch ? 'backoff' then backoff_wanted(p_patch->'backoff') else backoff end,
    lag_limit = case when p_patch ? 'lagLimit' then lag_wanted(p_patch->'lagLimit') else lag_limit end,
    when_stuck = case when p_patch ? 'whenStuck' then p_patch->>'whenStuck' else when_stuck end
   where id = p_id
$$`,
  `create or replace function {schema}.try_update_subscription(p_stream text, p_name text, p_patch jsonb) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription := subscription_of(p_stream, p_name);
begin
  perform set_subscription(s.id, p_patch);
  info := (select subscription_info(n) from subscription n where n.id = s.id);
  fault := case when info is null then subscription_fault(p_stream, p_name) end;
  return next;
end
$$`,
  `/* A subscription as it is under its lock, which follows that of its stream. One that was dropped and made anew while the lock was waited
   for is another, with a lock of its own. */
create or replace function {schema}.lock_subscription(p_stream text, p_name text) returns {schema}.subscription
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription := subscription_of(p_stream, p_name);
  v_locked int;
begin
  while s.id is distinct from v_locked loop
    v_locked := s.id;
    perform hold_stream(s.stream), pg_advisory_xact_lock(lock_space('subscription'), s.id) where s.id is not null;
    s := subscription_of(p_stream, p_name);
  end loop;
  return s;
end
$$`,
  `/* Moves a subscription to another position, forth or back, as far as events are stored. One that has expired lives again. */
create or replace function {schema}.try_reposition(p_stream text, p_name text, p_from jsonb) returns table (fault jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription;
  w record;
begin
  if isolation_fault() is null then
    s := lock_subscription(p_stream, p_name);
  end if;
  if s.id is null or isolation_fault() is not null or cluster_fault() is not null then
    return query select coalesce(isolation_fault(), case when s.id is null then subscription_fault(p_stream, p_name) end, cluster_fault());
    return;
  end if;
  perform pg_advisory_xact_lock_shared(lock_space('rotation'), s.stream);
  select * into w from start_of(s.stream, p_from);
  if w.seen is null then
    return query select jsonb_build_object('code', 'tick_not_found', 'stream', p_stream, 'tick', p_from->'tick');
    return;
  end if;
  perform set_position(s.id, w.seen, w.tick, w.sent);
  update subscription set expired_at = null, stuck_at = null where id = s.id;
  return query select null::jsonb;
end
$$`,
  `create or replace function {schema}.forget_subscription(p_id int) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
begin
  perform pg_advisory_xact_lock(lock_space('subscription'), p_id);
  /* Who is just finishing a batch comes first. */
  perform from batch where subscription = p_id order by id for update;
  delete from subscription where id = p_id;
  delete from batch where subscription = p_id;
  delete from batch_end where subscription = p_id;
  delete from batch_lease where subscription = p_id;
  delete from slice where subscription = p_id;
  delete from event_retry where subscription = p_id;
end
$$`,
  `create or replace function {schema}.try_drop_subscription(p_stream text, p_name text) returns table (fault jsonb, existed boolean)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription := lock_subscription(p_stream, p_name);
begin
  perform forget_subscription(s.id) where s.id is not null;
  return query select case when s.id is null and stream_of(p_stream) is null then queue_fault(p_stream, 'stream') end, s.id is not null;
end
$$`,
  `/* Events whose retry is due, at most so many; one that is suspected of killing its readers comes alone. Planned anew each time: what members
   hold is skipped by a hash only where it is a constant, else each row is compared with each that is held. */
create or replace function {schema}.due_retries(b {schema}.batch, p_open bigint[], p_max int, p_now timestamptz) returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
  n batch := b;
  v_held bigint[] := array(select unnest(retried) from batch where subscription = b.subscription and id = any (p_open));
  v_alone int;
begin
  select array_agg(id order by due, id), array_position(array_agg(alone order by due, id), true) into n.retried, v_alone from (
    select id, due, alone from event_retry where subscription = b.subscription and due <= p_now and not id = any (v_held) order by due, id limit p_max) d;
  if n.retried is null then
    return null;
  elsif v_alone is not null then
    n.retried := n.retried[1:greatest(v_alone - 1, 1)];
  end if;
  n.base := b.seen;
  n.root := nextval('batch_id');
  n.slice := 1;
  n.txids := '{}';
  n.events := cardinality(n.retried);
  select min(event), max(event) into n.from_id, n.to_id from event_retry where id = any (n.retried);
  return n;
end
$$`,
  `/* A batch whose lease is over, with what it holds, for another reader: under a new id, so that its old holder finishes nothing. One
   that is locked is just being finished. Null where there is none. Of one that nobody finished time and again the events come one by one. */
create or replace function {schema}.take_over(s {schema}.subscription, b {schema}.batch, p_open bigint[], p_whole boolean, p_now timestamptz) returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  n batch := b;
  o batch;
  l batch_lease;
begin
  for o in select * from batch where subscription = b.subscription and id = any (p_open) order by id loop
    select * into l from batch_lease where subscription = o.subscription and batch = o.id;
    continue when coalesce(l.until, o.until) > p_now;
    perform from batch where subscription = o.subscription and id = o.id for update skip locked;
    /* It may have been finished before it was locked. */
    continue when not found or exists (select from batch_end where subscription = o.subscription and batch = o.id);
    insert into batch_end (subscription, batch, outcome, at, events) values (o.subscription, o.id, 'taken', p_now, 0);
    o.attempt := o.attempt - (l.until is not null and l.owner is null)::int;
    if o.attempt >= least(s.max_attempts - coalesce((select max(attempt) from event_retry where id = any (o.retried)), 0), 5) and not p_whole then
      perform set_apart(s, o, p_now);
      continue;
    end if;
    n.base := o.base;
    n.root := o.root;
    n.slice := o.slice;
    n.txids := o.txids;
    n.from_id := o.from_id;
    n.to_id := o.to_id;
    n.retried := o.retried;
    n.events := o.events;
    n.attempt := o.attempt;
    return n;
  end loop;
  return null;
end
$$`,
  `/* An event that kills who reads it must not stop the others: each comes alone, and the one that still nobody finishes is dead. */
create or replace function {schema}.set_apart(s {schema}.subscription, o {schema}.batch, p_now timestamptz) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform put_off(s, o, jsonb_agg(jsonb_build_object('id', e.id, 'delay', 0, 'alone', true, 'spared', o.events > 1)), p_now) from events_in_batch(s.stream, o, 0, 2147483647) e;
  delete from event_retry where id = any (o.retried);
end
$$`,
  `/* What there is to hand out: what another left, events to be retried, the rest of a window, the next window. Who shares a
   subscription gets a batch beside those that are held, if they are shared too; else one at a time is out. */
create or replace function {schema}.next_content(s {schema}.subscription, b {schema}.batch, p_shared boolean, p_whole boolean, p_max int, p_min int, p_max_wait interval, p_before timestamptz, p_now timestamptz)
returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  n batch;
  v_open bigint[] := open_batches(b);
begin
  if exists (select from batch o where o.subscription = s.id and o.id = any (v_open) and not (p_shared and o.shared)
      and leased_until(o) > p_now) then
    return null;
  end if;
  n := take_over(s, b, v_open, p_whole, p_now);
  b.attempt := 0;
  b.retried := null;
  /* Those that are just being finished are left, and held. */
  v_open := open_batches(b);
  if n.id is null and v_open <> '{}' and (not p_shared or exists (select from batch where subscription = s.id and id = any (v_open) and not shared)) then
    return null;
  end if;
  if n.id is null then
    n := due_retries(b, v_open, p_max, p_now);
  end if;
  if n.id is null and b.rest is not null then
    n := next_slice(b);
  end if;
  if n.id is null then
    n := open_window(s, b, p_max, p_min, p_max_wait, p_before, p_now);
  end if;
  n.open := open_batches(b);
  return n;
end
$$`,
  `/* Until when a batch is held: as it was handed out, renewed, or given back. */
create or replace function {schema}.leased_until(o {schema}.batch) returns timestamptz
language sql stable set search_path = {schema}, pg_temp as $$
  select coalesce((select l.until from batch_lease l where l.subscription = o.subscription and l.batch = o.id), o.until)
$$`,
  `/* The batch that this owner holds, under the lease that he has, since who asks again may be one who was killed by it, or the next one; null where there is none for him now. Under the lock of the subscription. */
create or replace function {schema}.hand_out(s {schema}.subscription, p_owner text, p_shared boolean, p_whole boolean, p_lease interval, p_max int, p_min int, p_max_wait interval, p_before timestamptz)
returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_now timestamptz := clock();
  b batch := newest_batch(s.id);
  n batch;
begin
  select o.* into n from batch o where o.subscription = s.id and o.id = any (open_batches(b)) and o.owner = p_owner and leased_until(o) > v_now order by o.id limit 1;
  if found then
    n.until := leased_until(n);
    return n;
  end if;
  n := next_content(s, b, p_shared, p_whole, p_max, p_min, p_max_wait, p_before, v_now);
  if n.id is null then
    return null;
  end if;
  n.id := nextval('batch_id');
  n.at := v_now;
  n.lease := new_lease();
  n.owner := p_owner;
  n.shared := p_shared;
  n.until := v_now + p_lease;
  n.attempt := n.attempt + 1;
  insert into batch values (n.*);
  return n;
end
$$`,
  `create or replace function {schema}.batch_info(n {schema}.batch, p_max_attempts int, p_lease interval, p_now timestamptz) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('id', n.id::text, 'lease', n.lease::text, 'root', n.root::text, 'slice', n.slice, 'count', n.events, 'attempt', n.attempt, 'maxAttempts', p_max_attempts,
    'retried', n.retried is not null, 'openedAt', epoch_ms(n.at), 'leaseFor', epoch_ms_of(p_lease), 'left', epoch_ms_of(n.until - p_now), 'leasedUntil', epoch_ms(n.until), 'owner', n.owner)
$$`,
  `/* Not before a third of it is over, so that asking again and again leaves no dead rows. */
create or replace function {schema}.renew(n {schema}.batch, p_now timestamptz, p_lease interval) returns void
language sql volatile set search_path = {schema}, pg_temp as $$
  insert into batch_lease as l (subscription, batch, until, owner)
  select n.subscription, n.id, p_now + p_lease, n.owner where n.until < p_now + p_lease * 2 / 3
      on conflict (subscription, batch) do update set until = excluded.until where l.owner is not null and l.until < p_now + p_lease * 2 / 3
$$`,
  `/* Opens a batch, or answers the one that is open, with its first events: a row for the batch and one for each of them. In a transaction of
   its own, of READ COMMITTED; without p_durable a crash may forget it, which its lease makes harmless. */
create or replace function {schema}.try_next_batch(
  p_stream text, p_subscription text, p_owner text, p_shared boolean, p_lease interval, p_max int, p_min int, p_max_wait interval, p_min_lag interval, p_durable boolean, p_chunk int)
returns table (fault jsonb, batch jsonb, id bigint, at timestamptz, type text, key text, data jsonb, headers jsonb, extra1 text, extra2 text, extra3 text, extra4 text, attempt int)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription;
  n batch;
begin
  fault := isolation_fault();
  if fault is null then
    s := lock_subscription(p_stream, p_subscription);
    fault := reading_fault(s, p_stream, p_subscription);
  end if;
  if fault is not null then
    return next;
    return;
  end if;
  if not p_durable then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  if p_min_lag > '0' then
    perform tick_for_lag(s.stream, p_min_lag);
  end if;
  n := hand_out(s, p_owner, p_shared, p_durable, coalesce(p_lease, s.lease), p_max, p_min, p_max_wait, case when p_min_lag > '0' then clock() - p_min_lag end);
  if n.id is not null then
    batch := batch_info(n, s.max_attempts, coalesce(p_lease, s.lease), clock());
    return next;
    return query select null::jsonb, null::jsonb, e.* from events_in_batch(s.stream, n, 0, p_chunk) e;
  end if;
end
$$`,
  `/* Why there is nothing to be read; else the stream stays while the transaction lives. */
create or replace function {schema}.reading_fault(s {schema}.subscription, p_stream text, p_subscription text) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  if s.id is null then
    return subscription_fault(p_stream, p_subscription);
  elsif s.expired_at is not null then
    return jsonb_build_object('code', 'subscription_expired', 'stream', p_stream, 'subscription', p_subscription, 'at', epoch_ms(s.expired_at));
  elsif not hold_stream(s.stream) then
    return queue_fault(p_stream, 'stream');
  end if;
  return cluster_fault();
end
$$`,
  `/* The events of a batch in order of id, after one, at most so many. */
create or replace function {schema}.events_in_batch(p_stream int, n {schema}.batch, p_after bigint, p_limit int)
returns table (id bigint, at timestamptz, type text, key text, data jsonb, headers jsonb, extra1 text, extra2 text, extra3 text, extra4 text, attempt int)
language plpgsql volatile set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
begin
  if n.retried is not null then
    return query select r.event, r.at, r.type, r.key, r.data, r.headers, r.extra1, r.extra2, r.extra3, r.extra4, r.attempt + n.attempt
      from event_retry r where r.id = any (n.retried) and r.event > p_after order by r.event limit p_limit;
  else
    return query execute 'select id, at, type, key, data, headers, extra1, extra2, extra3, extra4, $5 from ' || events_between(p_stream, 'greatest($2 + 1, $3)', '$4')
        || ' order by id limit $6'
      using n.txids, p_after, n.from_id, n.to_id, n.attempt, p_limit;
  end if;
end
$$`,
  `create or replace function {schema}.stale_batch_fault(p_stream text, p_subscription text, p_batch bigint) returns jsonb
language sql immutable as $$ select jsonb_build_object('code', 'stale_batch', 'stream', p_stream, 'subscription', p_subscription, 'batch', p_batch::text) $$`,
  `/* The batch, if it is open under this lease. */
create or replace function {schema}.held_batch(p_subscription int, p_batch bigint, p_lease bigint) returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  n batch;
begin
  select * into n from batch b where b.subscription = p_subscription and b.id = p_batch and b.lease = p_lease
     and not exists (select from batch_end e where e.subscription = p_subscription and e.batch = p_batch)
     and not exists (select from batch_lease l where l.subscription = p_subscription and l.batch = p_batch and l.owner is null);
  return n;
end
$$`,
  `/* The same, and nobody can take it while the transaction lives. */
create or replace function {schema}.hold_batch(p_subscription int, p_batch bigint, p_lease bigint) returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
begin
  perform from batch where subscription = p_subscription and id = p_batch and lease = p_lease for update;
  /* In a statement of its own: it may have ended while the lock was waited for. */
  return held_batch(p_subscription, p_batch, p_lease);
end
$$`,
  `/* Keeps a batch for the transaction that handles it. */
create or replace function {schema}.try_lock_batch(p_stream text, p_subscription text, p_batch bigint, p_lease bigint) returns table (fault jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription := subscription_of(p_stream, p_subscription);
  v_fault jsonb := reading_fault(s, p_stream, p_subscription);
begin
  return query select coalesce(v_fault, case when (hold_batch(s.id, p_batch, p_lease)).id is null then stale_batch_fault(p_stream, p_subscription, p_batch) end);
end
$$`,
  `/* More events of an open batch. Not under an older snapshot, which would miss some. */
create or replace function {schema}.try_batch_events(p_stream text, p_subscription text, p_batch bigint, p_lease bigint, p_after bigint, p_limit int)
returns table (fault jsonb, id bigint, at timestamptz, type text, key text, data jsonb, headers jsonb, extra1 text, extra2 text, extra3 text, extra4 text, attempt int)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription := subscription_of(p_stream, p_subscription);
  n batch;
begin
  fault := coalesce(isolation_fault(), reading_fault(s, p_stream, p_subscription));
  n := held_batch(s.id, p_batch, p_lease);
  fault := coalesce(fault, case when n.id is null then stale_batch_fault(p_stream, p_subscription, p_batch) end);
  if fault is not null then
    return next;
    return;
  end if;
  return query select null::jsonb, e.* from events_in_batch(s.stream, n, p_after, p_limit) e;
end
$$`,
  `/* Renews the lease of a batch, or gives it back with p_for null: then the next reader gets it, its attempt not charged. held:
   whether it is still this holder's. */
create or replace function {schema}.try_renew_batch(p_stream text, p_subscription text, p_batch bigint, p_lease bigint, p_for interval) returns table (fault jsonb, held boolean)
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  s subscription := subscription_of(p_stream, p_subscription);
  n batch;
begin
  fault := reading_fault(s, p_stream, p_subscription);
  n := held_batch(s.id, p_batch, p_lease);
  held := n.id is not null;
  if fault is null and held and p_for is not null then
    perform renew(n, clock(), p_for);
  elsif fault is null and held then
    insert into batch_lease as l (subscription, batch, until, owner) values (s.id, p_batch, '-infinity', null)
        on conflict (subscription, batch) do update set until = '-infinity', owner = null;
  end if;
  return next;
end
$$`,
  `/* For who begins to read: what is not there. */
create or replace function {schema}.reading_probe(p_stream text, p_subscription text) returns jsonb
language sql volatile set search_path = {schema}, pg_temp as $$
  select reading_fault(subscription_of(p_stream, p_subscription), p_stream, p_subscription)
$$`,
  `/* Up to where the next window may reach: now, where that is not too far; else the farthest tick within so many events, or else the
   next one. With p_before only what was ticked until then. Null: there is nothing yet. past: the last tick that now is past. */
create or replace function {schema}.window_end(p_stream int, p_tick bigint, p_sent bigint, p_max int, p_before timestamptz, out tick bigint, out past bigint, out seen int8multirange, out sent bigint)
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
#variable_conflict use_column
begin
  sent := published(p_stream);
  if p_before is null and sent - p_sent <= p_max then
    tick := null;
  else
    /* What was ticked below p_sent lies behind: without that bound each of those is looked at, again and again. */
    select t.id, t.seen, t.sent into tick, seen, sent from tick t
     where t.stream = p_stream and t.sent between p_sent and p_sent + p_max and t.id > p_tick and (p_before is null or t.at <= p_before) order by t.sent desc, t.id desc limit 1;
    if not found then
      select t.id, t.seen, t.sent into tick, seen, sent from tick t
       where t.stream = p_stream and t.sent > p_sent + p_max and t.id > p_tick and (p_before is null or t.at <= p_before) order by t.sent, t.id limit 1;
    end if;
  end if;
  if tick is null and p_before is null then
    select t.id into past from tick t where t.stream = p_stream order by t.id desc limit 1;
    sent := published(p_stream);
    select seen_now() into seen;
  end if;
end
$$`,
  `/* The window that follows, as the cursor and the content of a batch; null where it has no events, or too few that have not waited long
   enough. What is more than fits is cut into slices, in order of id, handed out one by one. */
create or replace function {schema}.open_window(s {schema}.subscription, b {schema}.batch, p_max int, p_min int, p_max_wait interval, p_before timestamptz, p_now timestamptz)
returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  n batch := b;
  w record;
  v_oldest timestamptz;
  v_root bigint;
begin
  n.base := b.seen;
  n.events := 0;
  loop
    select * into w from window_end(s.stream, n.tick, n.sent, greatest(p_max, p_min), p_before);
    exit when w.seen is null;
    n.tick := greatest(n.tick, w.tick, w.past);
    n.sent := greatest(n.sent, w.sent);
    /* A tick may be older than a position that a reader took for itself. */
    if w.seen @> b.seen then
      n.seen := w.seen;
      n.txids := w.seen - b.seen;
      execute 'select count(*), min(id), max(id), min(at) from ' || events_of(s.stream) into n.events, n.from_id, n.to_id, v_oldest using n.txids;
    end if;
    /* Up to one tick there may be too few, and up to a later one enough. */
    exit when n.events >= p_min or w.tick is null;
  end loop;
  if n.events = 0 and n.sent > b.sent + p_max then
    perform skip_nothing(n, open_batches(b), p_now);
  end if;
  if n.events = 0 or n.events < p_min and coalesce(v_oldest > p_now - p_max_wait, true) then
    return null;
  end if;
  n.root := nextval('batch_id');
  n.slice := 1;
  n.rest := null;
  if n.events > p_max then
    perform cut(s, n, p_max);
    n.rest := 1;
    n.rest_root := n.root;
    n := next_slice(n);
  end if;
  return n;
end
$$`,
  `/* Past what was rolled back, else every call would go through its ticks again. */
create or replace function {schema}.skip_nothing(n {schema}.batch, p_open bigint[], p_now timestamptz) returns void
language sql volatile set search_path = {schema}, pg_temp as $$
  insert into batch (subscription, at, seen, tick, sent, open, base, events) values (n.subscription, p_now, n.seen, n.tick, n.sent, p_open, n.seen, 0)
$$`,
  `create or replace function {schema}.cut(s {schema}.subscription, n {schema}.batch, p_max int) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  delete from slice where subscription = s.id;
  execute 'insert into slice (subscription, root, number, base, txids, from_id, to_id, events)
    select $3, $4, part, $5, range_agg(int8range(txid, txid, ''[]'')), min(id), max(id), count(*)
      from (select txid, id, (row_number() over (order by id) - 1) / $2 + 1 as part from ' || events_of(s.stream) || ') p group by part'
    using n.txids, p_max, s.id, n.root, n.base;
end
$$`,
  `/* The next slice of the window that the cursor is in. */
create or replace function {schema}.next_slice(b {schema}.batch) returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  n batch := b;
  p slice;
begin
  select * into p from slice where subscription = b.subscription and root = b.rest_root and number = b.rest;
  n.root := p.root;
  n.slice := p.number;
  n.base := p.base;
  n.txids := p.txids;
  n.from_id := p.from_id;
  n.to_id := p.to_id;
  n.events := p.events;
  n.rest := case when exists (select from slice where subscription = b.subscription and root = b.rest_root and number = b.rest + 1) then b.rest + 1 end;
  n.rest_root := case when n.rest is not null then b.rest_root end;
  return n;
end
$$`,
  `/* What is to be retried of a batch, or is dead: p_what tells of events {id, delay, error, dead}, the delay in milliseconds. Copies keep
   id and time, and only this subscription gets them. Of two words on one event the last counts; one that the batch does not hold
   is an error. The answer has the ids that are dead by now. */
create or replace function {schema}.put_off(s {schema}.subscription, n {schema}.batch, p_what jsonb, p_now timestamptz) returns bigint[]
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  v_dead bigint[];
  v_all boolean;
begin
  execute 'with wanted as materialized (
      select distinct on (event) event, w from (select (w->>''id'')::bigint as event, w, place from jsonb_array_elements($8) with ordinality t(w, place)) d order by event, place desc),
    o as materialized (
      select id, txid, at, type, key, data, headers, extra1, extra2, extra3, extra4, 0 as attempt, null::jsonb as errors, false as alone from ' || events_between(s.stream, '$2', '$3', 'i.id = any (array(select event from wanted))') || '
      union all
      select event, txid, at, type, key, data, headers, extra1, extra2, extra3, extra4, attempt, errors, alone from event_retry where id = any ($4)),
    put as (
      insert into event_retry (subscription, due, attempt, alone, died_at, errors, event, txid, at, type, key, data, headers, extra1, extra2, extra3, extra4)
      select $5, d.due, case when w @> ''{"spared": true}'' then least(o.attempt + $6, ($9).max_attempts - 1) else o.attempt + $6 end, o.alone or w ? ''alone'', case when d.due = ''infinity'' then $7 end, with_error(o.errors, w->''error'', o.attempt + $6, $7),
             o.id, o.txid, o.at, o.type, o.key, o.data, o.headers, o.extra1, o.extra2, o.extra3, o.extra4
        from wanted join o on o.id = wanted.event, lateral (select retry_due($9, w, o.attempt + $6, $7) as due offset 0) d
       order by o.id returning event, due)
    select array_agg(event) filter (where due = ''infinity''), count(distinct event) = (select count(*) from wanted) from put'
    into v_dead, v_all using n.txids, n.from_id, n.to_id, n.retried, s.id, n.attempt, p_now, p_what, s;
  perform raise_fault(argument_fault('retries', v_all));
  return v_dead;
end
$$`,
  `/* When an event comes again; never where it is dead: by order, or since that was its last attempt. Spared is one of which it is not known
   whether it or another of its batch is to blame. */
create or replace function {schema}.retry_due(s {schema}.subscription, p_what jsonb, p_attempt int, p_now timestamptz) returns timestamptz
language sql volatile set search_path = {schema}, pg_temp as $$
  select case when p_what @> '{"dead": true}' or p_attempt >= s.max_attempts and not p_what @> '{"spared": true}' then 'infinity'
    else p_now + coalesce((p_what->>'delay')::float8 * interval '1 millisecond', backoff_delay(s.backoff, p_attempt)) end
$$`,
  `/* Ends a batch in the caller's transaction, any isolation level, with what is to be retried of it. Of two who finish one, or finish and
   take it over, one is first. dead: the ids of events that will not come again. */
create or replace function {schema}.try_finish_batch(p_stream text, p_subscription text, p_batch bigint, p_lease bigint, p_what jsonb) returns table (fault jsonb, dead bigint[])
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
#variable_conflict use_column
declare
  s subscription := subscription_of(p_stream, p_subscription);
  v_fault jsonb := reading_fault(s, p_stream, p_subscription);
  v_now timestamptz := clock();
  n batch;
  v_dead bigint[];
begin
  if v_fault is null then
    n := hold_batch(s.id, p_batch, p_lease);
    insert into batch_end (subscription, batch, outcome, at, events) select s.id, n.id, 'finished', v_now, n.events where n.id is not null on conflict do nothing;
    if not found then
      v_fault := stale_batch_fault(p_stream, p_subscription, p_batch);
    end if;
  end if;
  if v_fault is null and p_what <> '[]' then
    v_dead := put_off(s, n, p_what, v_now);
  end if;
  if v_fault is null and n.retried is not null then
    delete from event_retry where id = any (n.retried);
  end if;
  return query select v_fault, v_dead;
end
$$`,
  `/* Dead events of a subscription, the newest first. */
create or replace function {schema}.try_list_dead_events(p_stream text, p_subscription text, p_before bigint, p_limit int) returns table (fault jsonb, item jsonb)
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  s subscription := subscription_of(p_stream, p_subscription);
begin
  if s.id is null then
    return query select subscription_fault(p_stream, p_subscription), null::jsonb;
  end if;
  return query select null::jsonb, jsonb_build_object('place', r.id::text, 'id', r.event::text, 'type', r.type, 'key', r.key, 'data', r.data, 'headers', r.headers,
      'extra', jsonb_build_array(r.extra1, r.extra2, r.extra3, r.extra4), 'attempt', r.attempt, 'publishedAt', epoch_ms(r.at), 'diedAt', epoch_ms(r.died_at), 'errors', r.errors)
    from event_retry r where r.subscription = s.id and r.due = 'infinity' and (p_before is null or r.id < p_before) order by r.id desc limit p_limit;
end
$$`,
  `/* Dead events come again, now, their attempts counted from 0; all of them where p_ids is null. */
create or replace function {schema}.try_redrive_events(p_stream text, p_subscription text, p_ids bigint[]) returns table (fault jsonb, id bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription := subscription_of(p_stream, p_subscription);
begin
  if s.id is null then
    return query select subscription_fault(p_stream, p_subscription), null::bigint;
  end if;
  return query update event_retry r set due = clock(), died_at = null, attempt = 0, alone = false
    where r.subscription = s.id and r.due = 'infinity' and (p_ids is null or r.event = any (p_ids)) returning null::jsonb, r.event;
end
$$`,
  `/* Marks where the stream is. The lock comes first and the snapshot after it, so that ticks come in the order of what they see. Null
   where an external tick has an id that is not above the last one. */
create or replace function {schema}.make_tick(p_stream int, p_id bigint, p_at timestamptz) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_sort = off as $$
declare
  v_last bigint;
  v_sent bigint := published(p_stream);
begin
  perform pg_advisory_xact_lock(lock_space('tick'), p_stream);
  v_sent := published(p_stream);
  select id into v_last from tick where stream = p_stream order by id desc limit 1;
  if p_id <= v_last then
    return null;
  end if;
  insert into tick (stream, id, seen, at, sent) select p_stream, coalesce(p_id, v_last + 1, 1), seen_now(), coalesce(p_at, clock()), v_sent;
  return coalesce(p_id, v_last + 1, 1);
end
$$`,
  `/* PgQ's rule: after so many events, or so long with any. Of a stream that has become idle there is one last tick; PgQ's go on for ever. */
create or replace function {schema}.tick_is_due(t {schema}.stream, p_now timestamptz) returns boolean
language plpgsql stable set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_sort = off as $$
declare
  v_ticks tick[] := array(select k from tick k where stream = t.id order by id desc limit 2);
  v_new bigint;
  v_lag interval;
begin
  if t.ticker_paused or t.external_ticker or v_ticks[1].id is null then
    return not (t.ticker_paused or t.external_ticker);
  end if;
  v_new := published(t.id) - v_ticks[1].sent;
  v_lag := p_now - v_ticks[1].at;
  if v_new > 0 then
    return v_new >= t.ticker_max_count or v_lag >= t.ticker_max_lag or v_lag < '0';
  end if;
  return v_lag >= t.ticker_max_lag / 2 and (v_lag >= 2 * (v_ticks[1].at - v_ticks[2].at) or v_lag >= t.ticker_idle_period) and coalesce(v_ticks[1].sent > v_ticks[2].sent, false);
end
$$`,
  `/* For who wants only what was there a while ago: ticks that are close enough, maintenance or not. */
create or replace function {schema}.tick_for_lag(p_stream int, p_lag interval) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_sort = off as $$
declare
  t stream;
  k tick;
begin
  select * into t from stream where id = p_stream;
  select * into k from tick where stream = p_stream order by id desc limit 1;
  if not t.external_ticker and (k.id is null or published(p_stream) > k.sent) and coalesce(k.at < clock() - least(p_lag / 4, t.ticker_max_lag), true) then
    perform make_tick(p_stream, null, null);
  end if;
end
$$`,
  `/* A tick in a transaction of its own: of maintenance, only where one is due; forced; or an external one with an id and time of its own. */
create or replace function {schema}.try_tick(p_stream text, p_forced boolean, p_id bigint, p_at timestamptz) returns table (fault jsonb, tick bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue := stream_of(p_stream);
  t stream;
begin
  fault := case when q.id is null or not hold_stream(q.id) then queue_fault(p_stream, 'stream') else coalesce(isolation_fault(), cluster_fault()) end;
  if fault is null then
    select * into t from stream where id = q.id;
    if p_id is not null and not t.external_ticker or p_id is null and t.external_ticker and p_forced then
      fault := jsonb_build_object('code', 'ticker', 'stream', p_stream, 'external', t.external_ticker);
    elsif p_forced or tick_is_due(t, clock()) then
      tick := make_tick(q.id, p_id, p_at);
    end if;
  end if;
  return next;
end
$$`,
  `create or replace function {schema}.force_tick(stream text) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_tick(stream, true, null, null);
  perform raise_fault(v.fault);
  return v.tick;
end
$$`,
  `create or replace function {schema}.newest_segment(p_stream int) returns {schema}.stream_segment
language sql stable set search_path = {schema}, pg_temp set enable_seqscan = off set enable_sort = off as $$
  select g from stream_segment g where stream = p_stream order by generation desc limit 1
$$`,
  `/* Whether there is something to be emptied, or the current segment has lasted long enough. */
create or replace function {schema}.rotation_is_due(t {schema}.stream, p_now timestamptz) returns boolean
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  g stream_segment := newest_segment(t.id);
begin
  return exists (select from unnest(array[0, 1, 2]) k where k <> g.current and pg_relation_size(own_relation(event_table(t.id) || '_' || k)) > 0)
      or not p_now between g.at and g.at + t.rotation_period and pg_relation_size(own_relation(event_table(t.id) || '_' || g.current)) > 0;
end
$$`,
  `/* The streams that maintenance has something to do for: a tick, a segment to be emptied or changed. */
create or replace function {schema}.due_streams() returns jsonb
language sql volatile set search_path = {schema}, pg_temp as $$
  select coalesce(jsonb_agg(jsonb_build_object('stream', name, 'tick', tick, 'rotate', rotate) order by id) filter (where tick or rotate), '[]')
    from (select f.id, f.name, tick_is_due(f.t, f.now) as tick, rotation_is_due(f.t, f.now) as rotate
            from (select t.id, q.name, t, clock() as now from stream t join queue q on q.id = t.id where q.dropped_at is null and hold_stream_if_free(t.id) offset 0) f) d
$$`,
  `/* The subscriptions that have not done with some event of a segment, and sources that it has copies of. Expired ones hold nothing. */
create or replace function {schema}.holders_of(p_stream int, p_segment int) returns text[]
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  s subscription;
  v_holds boolean;
  v_names text[] := '{}';
begin
  for s in select * from subscription where stream = p_stream and expired_at is null order by name loop
    execute format('select exists (select from unnest($1) r, lateral (select from only %I where txid >= coalesce(lower(r), 0) and txid < coalesce(upper(r), 9223372036854775807) limit 1) e)',
      event_table(p_stream) || '_' || p_segment) into v_holds using '{(,)}'::int8multirange - coalesce(done_up_to(s.id), '{}');
    if v_holds then
      v_names := v_names || s.name;
    end if;
  end loop;
  return v_names || forward_holders(p_stream, p_segment);
end
$$`,
  `/* Empties a segment that nobody needs any more. The lock waits for every transaction that may still write there, and what counts is seen
   under it: exact, whatever snapshots the writers had. Asks for it for 50 ms at most: meanwhile everybody queues behind. */
create or replace function {schema}.empty_segment(t {schema}.stream, p_segment int) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set lock_timeout = '50ms' as $$
declare
  v_leaf text := event_table(t.id) || '_' || p_segment;
  v_left timestamptz := (select min(n.at) from stream_segment n where n.stream = t.id
    and n.generation > (select max(generation) from stream_segment where stream = t.id and current = p_segment));
  v_holders text[];
begin
  if v_left > clock() - t.retention then
    return '{"did": "kept"}';
  end if;
  v_holders := holders_of(t.id, p_segment);
  if v_holders = '{}' then
    begin
      execute format('lock table only %I in access exclusive mode', v_leaf);
    exception when lock_not_available then
      return '{"did": "refused"}';
    end;
    v_holders := holders_of(t.id, p_segment);
  end if;
  if v_holders <> '{}' then
    return jsonb_build_object('did', 'held', 'by', v_holders);
  end if;
  execute format('truncate only %I', v_leaf);
  return '{"did": "truncated"}';
end
$$`,
  `/* One step of a rotation: a segment is emptied, or else the next one becomes current, which must be empty. An error of the lock is an
   answer: it is tried again. */
create or replace function {schema}.rotate_step(p_stream text) returns table (fault jsonb, did text, holders text[])
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue := stream_of(p_stream);
  t stream;
  g stream_segment;
  v_step jsonb;
begin
  fault := case when q.id is null or not hold_stream(q.id) then queue_fault(p_stream, 'stream') else coalesce(isolation_fault(), cluster_fault()) end;
  did := 'nothing';
  if fault is not null or not pg_try_advisory_xact_lock(lock_space('rotation'), q.id) then
    return next;
    return;
  end if;
  select * into t from stream where id = q.id;
  g := newest_segment(q.id);
  for k in 1 .. 2 loop
    continue when pg_relation_size(own_relation(event_table(q.id) || '_' || (g.current + k) % 3)) = 0;
    v_step := empty_segment(t, (g.current + k) % 3);
    did := v_step->>'did';
    holders := array(select jsonb_array_elements_text(v_step->'by'));
    exit when did <> 'nothing';
  end loop;
  if not clock() between g.at and g.at + t.rotation_period and pg_relation_size(own_relation(event_table(q.id) || '_' || g.current)) > 0
     and pg_relation_size(own_relation(event_table(q.id) || '_' || (g.current + 1) % 3)) = 0 then
    insert into stream_segment (stream, generation, current, at, sent) values (q.id, g.generation + 1, (g.current + 1) % 3, clock(), published(q.id));
    perform forget_ticks(q.id);
    did := 'rotated';
  end if;
  return next;
end
$$`,
  `/* Ticks of events that are gone. The newest 20 stay, for rates, and for who registers at one. */
create or replace function {schema}.forget_ticks(p_stream int) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  v_oldest bigint := (select min(sent) from (select sent from stream_segment where stream = p_stream order by generation desc limit 3) g);
begin
  delete from tick where stream = p_stream and sent < v_oldest and id < (select min(id) from (select id from tick where stream = p_stream order by id desc limit 20) k)
    and id < (select max(id) from tick where stream = p_stream and sent < v_oldest);
  delete from stream_segment where stream = p_stream and generation < (select max(generation) - 10 from stream_segment where stream = p_stream);
end
$$`,
  `/* Ended batches are told for as long as they are few: their rows are insert-only, and deleted in bulk. */
create or replace function {schema}.clear_batches(p_most int default 10000) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  s subscription;
  b batch;
  v_below bigint;
  v_all int := 0;
begin
  for s in select * from subscription order by id loop
    b := newest_batch(s.id);
    /* Of those that b names as open too: without its end one would be open again. */
    v_below := least(b.id, (select min(o) from unnest(b.open) o));
    continue when not exists (select from batch where subscription = s.id and id < v_below order by id desc offset p_most);
    v_below := least(v_below, (select id from batch where subscription = s.id and id < v_below order by id desc offset 100 limit 1));
    /* In the order of who drops it. */
    with gone as (delete from batch where subscription = s.id and id < v_below returning 1)
    select v_all + count(*) into v_all from gone;
    delete from batch_end where subscription = s.id and batch < v_below;
    delete from batch_lease where subscription = s.id and batch < v_below;
    delete from slice where subscription = s.id and root is distinct from b.rest_root and root < v_below;
  end loop;
  /* Renewed while their subscription was just being dropped. */
  delete from batch_lease l where not exists (select from subscription o where o.id = l.subscription);
  return v_all;
end
$$`,
  `/* The oldest event, by its transaction, that a subscription has not done with; null where it has done with all. */
create or replace function {schema}.oldest_waiting(s {schema}.subscription) returns timestamptz
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_at timestamptz;
begin
  execute format('select min(at) from unnest($1) r, lateral (select at from %I where txid >= coalesce(lower(r), 0) and txid < coalesce(upper(r), 9223372036854775807) order by txid, id limit 1) e',
    event_table(s.stream)) into v_at using '{(,)}'::int8multirange - coalesce(done_up_to(s.id), '{}');
  return v_at;
end
$$`,
  `create or replace function {schema}.stream_bytes(p_stream int) returns bigint
language sql volatile set search_path = {schema}, pg_temp as $$
  select sum(pg_total_relation_size(own_relation(event_table(p_stream) || '_' || k)))::bigint from generate_series(0, 2) k
$$`,
  `/* What a subscription has not done with, counted up to a limit. */
create or replace function {schema}.count_waiting(s {schema}.subscription, p_limit int) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_count int;
begin
  execute format('select count(*) from (select from waiting_parts($1) w, unnest(w.txids) r,
      lateral (select from %I where txid >= coalesce(lower(r), 0) and txid < coalesce(upper(r), 9223372036854775807) and id between w.from_id and w.to_id limit $2) e limit $2) c',
    event_table(s.stream)) into v_count using s, p_limit;
  return v_count;
end
$$`,
  `/* How far a subscription is behind: age of the oldest event that it has not done with, events, exact where they are few, else with
   rolled-back ones, and bytes, in proportion. */
create or replace function {schema}.lag_of(s {schema}.subscription, p_now timestamptz, out age float8, out events bigint, out bytes bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_oldest timestamptz := oldest_waiting(s);
  b batch := newest_batch(s.id);
  v_published bigint := published(s.stream);
  v_stored bigint;
  v_counted int;
begin
  if v_oldest is null then
    age := 0;
    events := 0;
    bytes := 0;
    return;
  end if;
  age := greatest(epoch_ms_of(p_now - v_oldest), 0);
  v_counted := count_waiting(s, 10000);
  events := case when v_counted < 10000 then v_counted else greatest(v_counted, greatest(v_published - b.sent, 0)
    + coalesce((select sum(o.events) from batch o where o.subscription = s.id and o.id = any (open_batches(b)) and o.retried is null), 0)
    + coalesce((select sum(p.events) from slice p where p.subscription = s.id and p.root = b.rest_root and p.number >= b.rest), 0)) end;
  v_stored := greatest(v_published - (select g.sent from stream_segment g where g.stream = s.stream and g.generation >= (newest_segment(s.stream)).generation - 2 order by g.generation limit 1), events, 1);
  bytes := (stream_bytes(s.stream)::numeric * events / v_stored)::bigint;
end
$$`,
  `/* Whether it is behind by more than its limit, or its stream's, allows. */
create or replace function {schema}.beyond_limit(p_limit jsonb, p_age float8, p_events bigint, p_bytes bigint) returns boolean
language sql immutable as $$
  select coalesce(p_age > (p_limit->>'age')::float8, false) or coalesce(p_events > (p_limit->>'events')::float8, false) or coalesce(p_bytes > (p_limit->>'bytes')::float8, false)
$$`,
  `/* Looks for subscriptions that lag behind too far: those that block the rotation, and are told again and again, and those that
   expire now. Nothing that one of them lacks is gone before it has expired. Page by page, since each takes a dozen locks: a last row
   tells only after which one to go on. */
create or replace function {schema}.check_lags(p_after int default 0, p_limit int default 100)
returns table (stream text, subscription text, age float8, events bigint, bytes bigint, expired boolean, next int)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  v_now timestamptz := clock();
  w record;
  l record;
  v_last int := (select max(id) from (select id from subscription where id > p_after order by id limit p_limit) p having count(*) = p_limit);
begin
  for w in select s, q.name, coalesce(s.lag_limit, t.lag_limit) as lag_limit, coalesce(s.when_stuck, t.when_stuck) as what
             from subscription s join stream t on t.id = s.stream join queue q on q.id = t.id
            where s.id > p_after and s.id <= coalesce(v_last, 2147483647) and s.expired_at is null and cluster_fault() is null and (coalesce(s.lag_limit, t.lag_limit) is not null or s.stuck_at is not null) order by s.id
  loop
    continue when not hold_stream_if_free((w.s).stream);
    select * into l from lag_of(w.s, v_now);
    if coalesce(beyond_limit(w.lag_limit, l.age, l.events, l.bytes), false) or (w.s).stuck_at is not null then
      /* Maintenance does not wait for who is just changing it. One that was changed, or repositioned, meanwhile is looked at in the next round. */
      perform from subscription n where n.id = (w.s).id and n is not distinct from w.s for no key update skip locked;
      continue when not found;
      select * into l from lag_of(w.s, v_now);
    end if;
    if coalesce(beyond_limit(w.lag_limit, l.age, l.events, l.bytes), false) then
      update subscription set stuck_at = coalesce(stuck_at, v_now), expired_at = case when w.what = 'expire' then v_now end
       where id = (w.s).id and (stuck_at is null or w.what = 'expire');
      return query select w.name, (w.s).name, l.age, l.events, l.bytes, w.what = 'expire', null::int;
    elsif (w.s).stuck_at is not null then
      update subscription set stuck_at = null where id = (w.s).id;
    end if;
  end loop;
  return query select null::text, null::text, null::float8, null::bigint, null::bigint, null::boolean, v_last where v_last is not null;
end
$$`,
  `create or replace function {schema}.try_stream_info(p_stream text) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue := stream_of(p_stream);
  v_now timestamptz := clock();
  g stream_segment;
  v_ticks tick[];
  v_oldest tick;
begin
  if q.id is null or not hold_stream(q.id) then
    fault := queue_fault(p_stream, 'stream');
    return next;
    return;
  end if;
  g := newest_segment(q.id);
  v_ticks := array(select k from tick k where stream = q.id order by id desc limit 20);
  v_oldest := v_ticks[cardinality(v_ticks)];
  info := stream_info(q) || jsonb_build_object('published', published(q.id), 'eventsPerSecond', coalesce((v_ticks[1].sent - v_oldest.sent) / nullif(extract(epoch from v_ticks[1].at - v_oldest.at), 0), 0), 'newEvents', published(q.id) - coalesce(v_ticks[1].sent, 0),
    'lastTick', v_ticks[1].id::text, 'tickerLag', epoch_ms_of(v_now - v_ticks[1].at), 'segment', g.current, 'segmentSince', epoch_ms(g.at), 'bytes', stream_bytes(q.id),
    'subscriptions', (select count(*) from subscription where stream = q.id),
    'heldBy', (select to_jsonb(array(select distinct h from generate_series(1, 2) n, unnest(holders_of(q.id, ((g.current + n) % 3)::int)) h order by h))));
  return next;
end
$$`,
  `create or replace function {schema}.subscription_state(s {schema}.subscription, p_now timestamptz) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  b batch := newest_batch(s.id);
  l record;
begin
  select * into l from lag_of(s, p_now);
  return subscription_info(s) || jsonb_build_object('lag', l.age, 'pendingEvents', l.events, 'pendingBytes', l.bytes, 'lastTick', b.tick::text,
    'eventsPerSecond', coalesce((select sum(e.events) / nullif(extract(epoch from p_now - min(e.at)), 0) from (
       select events, at from batch_end where subscription = s.id and outcome = 'finished' and at > p_now - interval '1 minute' order by batch desc limit 1000) e), 0),
    'lastSeenAt', (select epoch_ms(greatest((select max(at) from (select at from batch where subscription = s.id and lease is not null order by id desc limit 20) o),
       (select max(at) from (select at from batch_end where subscription = s.id order by batch desc limit 20) e)))),
    'batches', coalesce((select jsonb_agg(batch_info(o, s.max_attempts, s.lease, p_now) || jsonb_build_object('leasedUntil', epoch_ms(nullif(coalesce(r.until, o.until), '-infinity')), 'owner', case when r.until is null or r.owner is not null then o.owner end) order by o.id)
       from batch o left join batch_lease r on r.subscription = o.subscription and r.batch = o.id where o.subscription = s.id and o.id = any (open_batches(b))), '[]'),
    'retries', (select count(*) from event_retry where subscription = s.id and due < 'infinity'),
    'dead', (select count(*) from event_retry where subscription = s.id and due = 'infinity'));
end
$$`,
  `create or replace function {schema}.try_list_subscriptions(p_stream text, p_name text) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue := stream_of(p_stream);
  s subscription;
begin
  if q.id is null or not hold_stream(q.id) or p_name is not null and (subscription_of(p_stream, p_name)).id is null then
    fault := subscription_fault(p_stream, p_name);
    return next;
    return;
  end if;
  for s in select * from subscription where stream = q.id and (p_name is null or name = p_name) order by name loop
    info := subscription_state(s, clock());
    return next;
  end loop;
end
$$`,
  `/* What a subscription has not done with, as sets of transactions and ranges of ids. */
create or replace function {schema}.waiting_parts(s {schema}.subscription) returns table (txids int8multirange, from_id bigint, to_id bigint)
language sql stable set search_path = {schema}, pg_temp as $$
  select '{(,)}'::int8multirange - b.seen, 0, 9223372036854775807 from newest_batch(s.id) b
  union all
  select o.txids, o.from_id, o.to_id from newest_batch(s.id) b, batch o where o.subscription = s.id and o.id = any (open_batches(b)) and o.retried is null
  union all
  select p.txids, p.from_id, p.to_id from newest_batch(s.id) b, slice p where p.subscription = s.id and p.root = b.rest_root and p.number >= b.rest
$$`,
  `/* After the schema was restored into another cluster, whose transaction ids have nothing to do with those that are stored: what a subscription
   had not done with it gets as retries, each event once, and all positions begin anew. The events stay, as of this transaction.
   Expired ones get nothing: they go on from the earliest event, if at all. p_same_history: the ids hold, as after pg_upgrade; only the cluster is another. */
create or replace function {schema}.try_after_restore(p_same_history boolean) returns table (fault jsonb, streams int, events bigint)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  q queue;
  s subscription;
  v_count bigint;
  v_now timestamptz := clock();
begin
  streams := 0;
  events := 0;
  fault := isolation_fault();
  perform from installation for update;
  if fault is null and cluster_fault() is not null then
    for q in select * from queue where kind = 'stream' and dropped_at is null and not p_same_history order by id loop
      streams := streams + 1;
      execute format('lock table %I in access exclusive mode', event_table(q.id));
      for s in select * from subscription where stream = q.id and expired_at is null order by id loop
        execute format('insert into event_retry (subscription, due, attempt, event, txid, at, type, key, data, headers, extra1, extra2, extra3, extra4)
          select distinct on (e.id) $1, $2, 0, e.id, $3, e.at, e.type, e.key, e.data, e.headers, e.extra1, e.extra2, e.extra3, e.extra4
            from waiting_parts($4) w join %I e on e.txid <@ w.txids and e.id between w.from_id and w.to_id order by e.id', event_table(q.id))
          using s.id, v_now, pg_current_xact_id()::text::bigint, s;
        get diagnostics v_count = row_count;
        events := events + v_count;
      end loop;
      execute format('update %I set txid = $1', event_table(q.id)) using pg_current_xact_id()::text::bigint;
      delete from tick where stream = q.id;
      perform set_position(id, seen_now() + int8multirange(int8range(pg_current_xact_id()::text::bigint, pg_current_xact_id()::text::bigint, '[]')), 0, published(q.id))
         from subscription where stream = q.id order by id;
      perform make_tick(q.id, null, null);
    end loop;
    if not p_same_history then
      /* What was handed out after the dump had ids that others, such as targets of a forward, have seen. */
      update forward_batch set txid = pg_current_xact_id()::text::bigint;
      perform setval('batch_id', nextval('batch_id') + 1000000000000);
    end if;
    update installation set cluster = (select system_identifier::text from pg_control_system());
  end if;
  return next;
end
$$`,
  `create or replace function {schema}.after_restore(same_history boolean default false) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_after_restore(coalesce(same_history, false));
  perform raise_fault(v.fault);
  return v.events;
end
$$`,
  `/* A value as JSON that reads back exact: bigint and numeric are strings, wherever they are in it, since they lose digits in JavaScript. */
create or replace function {schema}.exact(p jsonb, p_type oid) returns jsonb
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  t record;
begin
  if jsonb_typeof(p) not in ('number', 'array', 'object') then
    return p;
  elsif p_type in ('bigint'::regtype, 'numeric'::regtype) then
    return to_jsonb(p #>> '{}');
  end if;
  select oid, typtype, typcategory, typbasetype, typelem, typrelid into t from pg_type where oid = p_type;
  if t.typtype = 'd' then
    return exact(p, t.typbasetype);
  elsif t.typcategory = 'A' and jsonb_typeof(p) = 'array' then
    /* The dimensions of an array are not in its type. */
    return (select coalesce(jsonb_agg(exact(v, case jsonb_typeof(v) when 'array' then t.oid else t.typelem end) order by n), '[]') from jsonb_array_elements(p) with ordinality e(v, n));
  elsif t.typcategory = 'A' then
    return exact(p, t.typelem);
  elsif t.typtype = 'c' then
    return (select coalesce(jsonb_object_agg(k, exact(v, a.atttypid)), '{}') from jsonb_each(p) e(k, v) join pg_attribute a on a.attrelid = t.typrelid and a.attname = k);
  end if;
  return p;
end
$$`,
  `/* A row of a table, exact. */
create or replace function {schema}.exact_row(p_table oid, p_row jsonb, p_columns text[], p_ignored text[]) returns jsonb
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  v_row jsonb := p_row - p_ignored;
begin
  if p_columns is not null then
    v_row := (select coalesce(jsonb_object_agg(k, v), '{}') from jsonb_each(v_row) e(k, v) where k = any (p_columns));
  end if;
  return v_row || coalesce((
    select jsonb_object_agg(attname, case when atttypid in ('bigint'::regtype, 'numeric'::regtype) then to_jsonb(v_row->>attname) else exact(v_row->attname, atttypid) end) from pg_attribute
     where attrelid = p_table and attnum > 0 and not attisdropped and jsonb_typeof(v_row->attname) in ('number', 'array', 'object')
       and atttypid <> all ('{int,json,jsonb,float8,int[],text[]}'::regtype[])), '{}');
end
$$`,
  `/* The text of one column; of more the JSON array of them. */
create or replace function {schema}.key_text(p_row jsonb, p_key text[]) returns text
language plpgsql immutable set search_path = {schema}, pg_temp as $$
begin
  if cardinality(p_key) = 1 then
    return p_row->>p_key[1];
  elsif p_row is not null and p_key <> '{}' then
    return (select jsonb_agg(p_row->>k order by n)::text from unnest(p_key) with ordinality t(k, n));
  end if;
  return null;
end
$$`,
  `/* The first of the two triggers of a capture. Whoever writes to the table runs it, and so what the table's owner has written: the expressions,
   the casts of his types to JSON. Leaves the row to the second, which runs as Sluice's owner and evaluates nothing. The writer
   needs no right in this schema, so nothing of it is named here. */
create or replace function {schema}.capture_row() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp set timezone = 'UTC' set bytea_output = 'hex' set extra_float_digits = 1 set intervalstyle = 'postgres' as $$
declare
  o jsonb := tg_argv[0];
  r record;
  v_passes boolean := true;
  v_part text;
  v_expression text;
  v_value text;
  v_values jsonb := '{}';
begin
  if tg_op = 'DELETE' then
    r := old;
  else
    r := new;
  end if;
  if o ? 'when' then
    execute format(E'select (%s\\n)::boolean from (select ($1).*) r', o->>'when') into v_passes using r;
  end if;
  if v_passes and o ?| '{type,data,extra1,extra2,extra3,extra4}' then
    for v_part, v_expression in select key, value from jsonb_each_text(o) where key in ('type', 'data', 'extra1', 'extra2', 'extra3', 'extra4') loop
      execute format(E'select (%s\\n)::text from (select ($1).*) r', v_expression) into v_value using r;
      v_values := v_values || jsonb_build_object(v_part, v_value);
    end loop;
  end if;
  perform set_config('sluice.captured', jsonb_build_object('row', case when v_passes then to_jsonb(r) end,
    'before', case when v_passes and tg_op = 'UPDATE' then to_jsonb(old) end, 'values', v_values)::text, true);
  return r;
end
$$`,
  `/* The second: records what happened to a row, or that all are gone, as the options say that admin.captureTable has put into its argument. */
create or replace function {schema}.capture() returns trigger
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  o jsonb := tg_argv[0];
  v_given jsonb := case when tg_level = 'ROW' then nullif(current_setting('sluice.captured', true), '') end;
  v_values jsonb := coalesce(v_given->'values', '{}');
  v_row jsonb := nullif(v_given->'row', 'null');
  v_before jsonb := nullif(v_given->'before', 'null');
  v_ignored text[] := (o->>'ignore')::text[];
  v_columns text[] := (o->>'columns')::text[];
  v_recorded boolean := tg_level = 'STATEMENT' or v_row is not null and (v_before is null or v_row = v_before or v_row - v_ignored <> v_before - v_ignored);
begin
  perform set_config('sluice.captured', '', true);
  if current_setting('session_replication_role') = 'local' then
    v_recorded := false;
  elsif o->'deny' = 'true' then
    raise exception 'Changes of % are denied here.', o->>'table' using errcode = 'SL022';
  elsif tg_level = 'ROW' and v_given is null then
    raise exception 'The triggers of the capture of % do not follow one another: capture it again.', o->>'table' using errcode = 'SL022';
  end if;
  if v_recorded then
    perform record_change(o, coalesce(v_values->>'type', (o->>'prefix') || '.' || lower(tg_op)),
      case when v_values ? 'data' then (v_values->>'data')::jsonb when v_row is not null then exact_row(tg_relid, v_row, v_columns, v_ignored) end,
      array[
        case when v_values ? 'extra1' then v_values->>'extra1' else o->>'table' end,
        case when v_values ? 'extra2' then v_values->>'extra2' when o->'old' = 'true' and v_before is not null then exact_row(tg_relid, v_before, v_columns, v_ignored)::text end,
        v_values->>'extra3', v_values->>'extra4'],
      key_text(coalesce(v_before, v_row), (o->>'key')::text[]));
  end if;
  /* Of a trigger before the change null is what keeps it from being made; after it, nothing depends on this. */
  return case when v_recorded then null when tg_op = 'DELETE' then old else new end;
end
$$`,
  `/* The stream that was dropped from under a capture was dropped by force: writes to the table go on. */
create or replace function {schema}.record_change(o jsonb, p_type text, p_data jsonb, p_extra text[], p_key text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue := stream_of(o->>'stream');
  v_fault jsonb;
begin
  if q.id = (o->>'id')::int then
    v_fault := publish_fault(q, q.name, 1);
    if v_fault->>'code' is distinct from 'stream_not_found' then
      perform raise_fault(coalesce(v_fault, argument_fault('type', length(p_type) between 1 and 255)));
      perform append_event(q, p_type, p_data, p_extra, p_key, null);
    end if;
  end if;
end
$$`,
  `/* What of a capture cannot be meant: a table without a key that updates could name, columns that there are not. */
create or replace function {schema}.capture_fault(p_stream text, p_table regclass, p_options jsonb) returns jsonb
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  c pg_class;
  v_other text;
  v_column text;
begin
  select * into c from pg_class where oid = p_table;
  if c.relkind not in ('r', 'p') or c.relnamespace = own_schema() then
    return jsonb_build_object('field', 'table', 'reason', case when c.relkind in ('r', 'p') then 'is a table of Sluice''s' else 'is no table' end);
  end if;
  select relation::regclass::text into v_other from captures_of(p_stream)
   where relation <> p_table and not inherited and relation in (select relid from pg_partition_tree(p_table) union select relid from pg_partition_ancestors(p_table)) limit 1;
  if found then
    return jsonb_build_object('field', 'table', 'reason', format('is captured already, as %s is', v_other));
  end if;
  select x into v_column from jsonb_each(p_options) o, jsonb_array_elements_text(case when o.key in ('key', 'ignore', 'columns') then o.value else '[]' end) x
   where not exists (select from pg_attribute where attrelid = p_table and attname = x and attnum > 0 and not attisdropped) limit 1;
  if found then
    return jsonb_build_object('field', 'columns', 'reason', format('has no column "%s"', v_column));
  end if;
  if not p_options ? 'key' and not exists (select from pg_index where indrelid = p_table and indisprimary) then
    return jsonb_build_object('field', 'key', 'reason', 'has no primary key: say which columns name a row, or key: [] if none do');
  end if;
  return null;
end
$$`,
  `/* An expression that does not compile, for whoever captures the table and under the search_path of the trigger. */
create or replace function {schema}.expression_fault(p_table regclass, p_options jsonb) returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  v_part text;
  v_expression text;
begin
  for v_part, v_expression in select key, value from jsonb_each_text(p_options) where key in ('when', 'type', 'data', 'extra1', 'extra2', 'extra3', 'extra4') loop
    begin
      execute format(E'select (%s\\n)%s from %s r limit 0', v_expression, case v_part when 'when' then '::boolean' when 'data' then '::text::jsonb' else '::text' end, p_table);
    exception when syntax_error_or_access_rule_violation or data_exception or feature_not_supported then
      return jsonb_build_object('code', 'capture', 'field', case v_part when 'when' then v_part else 'expressions.' || v_part end, 'table', p_table::text, 'reason', 'cannot be evaluated: ' || sqlerrm);
    end;
  end loop;
  return null;
end
$$`,
  `/* The statements that make the triggers of a capture; the first ones remove those of an earlier one. p_options null: no more. */
create or replace function {schema}.capture_plan(p_stream text, p_table regclass, p_options jsonb, out fault jsonb, out existed boolean, out statements text[])
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue := stream_of(p_stream);
  o jsonb;
begin
  /* Of two at the same moment one would find the triggers of the other there already. */
  perform pg_advisory_xact_lock(lock_space('capture'), hashoid(p_table));
  statements := array(select format('drop trigger if exists %I on %s', name, p_table) from captures_of(p_stream) where relation = p_table and not inherited order by name);
  existed := statements <> '{}';
  /* A stream that is gone may have left triggers. */
  fault := case when q.id is null and (p_options is not null or not existed) then queue_fault(p_stream, 'stream') 
    else jsonb_build_object('code', 'capture', 'table', p_table::text) || case when p_options is not null then capture_fault(p_stream, p_table, p_options) end end;
  if fault is not null or p_options is null then
    return;
  end if;
  /* Lists as array literals, which the trigger reads fastest. */
  o := p_options || coalesce((select jsonb_object_agg(key, array(select jsonb_array_elements_text(value))::text) from jsonb_each(p_options) where key in ('key', 'ignore', 'columns')), '{}')
    || (select jsonb_build_object('stream', q.name, 'id', q.id, 'table', n.nspname || '.' || c.relname, 'prefix', c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = p_table);
  if not o ? 'key' then
    o := o || jsonb_build_object('key', array(select a.attname from pg_index i, unnest(i.indkey) with ordinality k(attnum, n)
      join pg_attribute a on a.attnum = k.attnum where i.indrelid = p_table and i.indisprimary and a.attrelid = p_table order by k.n)::text);
  end if;
  /* Triggers fire in order of their names. No other stream's come in between these two: after the digits of one there is no letter. */
  statements := statements || array(
    select format('create trigger %I %s insert or update or delete on %s for each row execute function %I.%I(%L)',
        'sluice_capture_' || q.id || part, case when o->'skip' = 'true' then 'before' else 'after' end, p_table, current_schema(), function, o)
      from (values ('a', 'capture_row'), ('b', 'capture')) t(part, function) order by part)
    || format('create trigger %I after truncate on %s for each statement execute function %I.capture(%L)', 'sluice_capture_' || q.id || 't', p_table, current_schema(), o);
end
$$`,
  `/* Installs the triggers, as whoever calls it: the table is his. p_options null: removes them. existed: whether there were any. */
create or replace function {schema}.try_capture_table(p_stream text, p_table regclass, p_name text, p_options jsonb) returns table (fault jsonb, existed boolean)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_plan record;
  v_statement text;
begin
  fault := case when p_table is null then jsonb_build_object('code', 'capture', 'field', 'table', 'table', p_name, 'reason', 'does not exist') end;
  if fault is null then
    select * into v_plan from capture_plan(p_stream, p_table, p_options);
    fault := coalesce(v_plan.fault, expression_fault(p_table, p_options));
  end if;
  if fault is null then
    existed := v_plan.existed;
    foreach v_statement in array v_plan.statements loop
      execute v_statement;
    end loop;
  end if;
  return next;
end
$$`,
  `create or replace function {schema}.create_subscription(stream text, name text, options jsonb default '{}', start jsonb default '"latest"') returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(coalesce(
    argument_fault('name', name ~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$'),
    subscription_options_fault(options),
    argument_fault('start', start in ('"latest"', '"earliest"') or partition_measure('id', start->'tick') > 0
      or jsonb_typeof(start->'time') = 'number' and (start->>'time')::numeric between -62135596800000 and 253402300799999)));
  select * into v from try_create_subscription(stream, name, options, start, false);
  perform raise_fault(v.fault);
  return v.created;
end
$$`,
  `create or replace function {schema}.subscription_options_fault(p_options jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select case
    when jsonb_typeof(p_options) is distinct from 'object' then argument_fault('options', false)
    else coalesce(
      (select argument_fault(key, false) from jsonb_object_keys(p_options) key where key not in ('lease', 'maxAttempts', 'backoff', 'lagLimit', 'whenStuck') order by key limit 1),
      argument_fault('lease', not p_options ? 'lease' or partition_measure('time', p_options->'lease') > 0),
      argument_fault('maxAttempts', coalesce(jsonb_typeof(p_options->'maxAttempts'), 'null') = 'null' or partition_measure('id', p_options->'maxAttempts') between 1 and 2147483647),
      argument_fault('backoff', coalesce(jsonb_typeof(p_options->'backoff'), 'null') = 'null' or backoff_wanted(p_options->'backoff') is not null),
      argument_fault('lagLimit', lag_fine(p_options->'lagLimit')),
      argument_fault('whenStuck', coalesce(p_options->>'whenStuck', 'block') in ('block', 'expire')))
  end
$$`,
  `create or replace function {schema}.drop_subscription(stream text, name text) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_drop_subscription(stream, name);
  perform raise_fault(v.fault);
  return v.existed;
end
$$`,
  `/* For other languages: opens a batch, or answers the one that the owner has open; no row where there is none. In a transaction that ends
   before the events are handled. */
create or replace function {schema}.next_batch(stream text, subscription text, owner text, lease interval default null, max_events int default 1000, shared boolean default false)
returns table (batch bigint, token bigint, events int, attempt int)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(coalesce(
    argument_fault('owner', length(owner) between 1 and 500),
    argument_fault('lease', lease is null or lease > '0' and isfinite(lease)),
    argument_fault('max_events', max_events > 0),
    argument_fault('shared', shared is not null)));
  select * into v from try_next_batch(stream, subscription, owner, shared, lease, max_events, 1, null, null, true, 0);
  perform raise_fault(v.fault);
  if v.batch is not null then
    return query select (v.batch->>'id')::bigint, (v.batch->>'lease')::bigint, (v.batch->>'count')::int, (v.batch->>'attempt')::int;
  end if;
end
$$`,
  `create or replace function {schema}.batch_events(stream text, subscription text, batch bigint, token bigint, after bigint default 0, max_events int default 1000)
returns table (id bigint, at timestamptz, type text, key text, data jsonb, headers jsonb, extra1 text, extra2 text, extra3 text, extra4 text, attempt int)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('max_events', max_events > 0));
  for v in select * from try_batch_events(stream, subscription, batch, token, coalesce(after, 0), max_events) loop
    perform raise_fault(v.fault);
    return query select v.id, v.at, v.type, v.key, v.data, v.headers, v.extra1, v.extra2, v.extra3, v.extra4, v.attempt;
  end loop;
end
$$`,
  `/* False: it is no longer this holder's. */
create or replace function {schema}.renew_batch(stream text, subscription text, batch bigint, token bigint, lease interval default '30 seconds') returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('lease', lease > '0' and isfinite(lease)));
  select * into v from try_renew_batch(stream, subscription, batch, token, lease);
  perform raise_fault(v.fault);
  return v.held;
end
$$`,
  `create or replace function {schema}.release_batch(stream text, subscription text, batch bigint, token bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_renew_batch(stream, subscription, batch, token, null);
  perform raise_fault(v.fault);
  return v.held;
end
$$`,
  `/* retries: an array of {id, delay, error, dead} for events that are to come again, to this subscription alone, delay in milliseconds. */
create or replace function {schema}.finish_batch(stream text, subscription text, batch bigint, token bigint, retries jsonb default '[]') returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault(argument_fault('retries', jsonb_typeof(retries) = 'array' and not exists (
    select from jsonb_array_elements(case jsonb_typeof(retries) when 'array' then retries else '[]' end) w
     where (w->>'id' ~ '^[0-9]{1,18}$') is not true or jsonb_typeof(w->'delay') not in ('number', 'null') or (w->>'delay')::numeric not between 0 and 3153600000000 or jsonb_typeof(w->'dead') <> 'boolean')));
  perform raise_fault((select fault from try_finish_batch(stream, subscription, batch, token, retries)));
end
$$`,
  `/* What the subscriptions of a stream have not done with, but for one and expired ones: sets of transactions with ranges of ids, and events to be retried. */
create or replace function {schema}.forward_state(p_stream int, p_but int) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select coalesce(jsonb_agg(jsonb_build_object('name', s.name, 'settings', to_jsonb(s),
      'parts', (select coalesce(jsonb_agg(jsonb_build_object('txids', w.txids::text, 'from', w.from_id::text, 'to', w.to_id::text)), '[]') from waiting_parts(s) w where not isempty(w.txids)),
      'retries', array(select event::text from event_retry where subscription = s.id and due < 'infinity' order by event)) order by s.name), '[]')
    from subscription s where s.stream = p_stream and s.id <> p_but and s.expired_at is null
$$`,
  `/* What a forwarder copies beside the events: the transactions that they are of, and how far the other subscriptions are. Without p_batch only the latter. */
create or replace function {schema}.try_forward_source(p_stream text, p_subscription text, p_batch bigint, p_lease bigint) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  s subscription := subscription_of(p_stream, p_subscription);
  n batch;
  v_txids jsonb;
begin
  fault := coalesce(isolation_fault(), reading_fault(s, p_stream, p_subscription));
  if fault is null and p_batch is not null then
    n := held_batch(s.id, p_batch, p_lease);
    if n.id is null then
      fault := stale_batch_fault(p_stream, p_subscription, p_batch);
    elsif n.retried is not null then
      v_txids := (select jsonb_object_agg(event, txid::text) from event_retry where id = any (n.retried));
    else
      execute 'select jsonb_object_agg(id, txid::text) from ' || events_between(s.stream, '$2', '$3') into v_txids using n.txids, n.from_id, n.to_id;
    end if;
  end if;
  if fault is null then
    info := jsonb_build_object('source', installation_id() || ':' || p_stream || ':' || p_subscription, 'subscriptions', forward_state(s.stream, s.id),
      'txids', v_txids, 'range', n.txids::text, 'from', n.from_id::text, 'to', n.to_id::text,
      'place', concat_ws('/', n.root, n.slice, n.events, n.from_id, n.to_id));
  end if;
  return next;
end
$$`,
  `/* Whether a subscription of the source has not done with some event of a batch. */
create or replace function {schema}.forward_waits(b {schema}.forward_batch, p_subscriptions jsonb) returns boolean
language sql stable set search_path = {schema}, pg_temp as $$
  select exists (select from jsonb_array_elements(p_subscriptions) s, jsonb_array_elements(s->'parts') w where (w->>'txids')::int8multirange && b.txids)
      or exists (select from jsonb_array_elements(p_subscriptions) s, jsonb_array_elements_text(s->'retries') r where r::bigint between b.from_id and b.to_id)
$$`,
  `/* Notes a batch as copied, in the transaction that then copies it. verdict: new; copied, if it was; behind, if a later one was. */
create or replace function {schema}.try_forward(p_source text, p_batch jsonb, p_streams text[], p_subscriptions jsonb) returns table (fault jsonb, verdict text)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
#variable_conflict use_column
declare
  f forward_position;
  b forward_batch;
begin
  insert into forward_position (source, batch, place, at, subscriptions) values (p_source, 0, '', clock(), '[]') on conflict do nothing;
  select * into f from forward_position where source = p_source for update;
  verdict := case when p_batch is null or f.place = p_batch->>'place' then 'copied' when f.batch >= (p_batch->>'id')::bigint then 'behind' else 'new' end;
  if verdict = 'behind' then
    return next;
    return;
  end if;
  /* Else a crash might forget the copies after the source has finished the batch. */
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  if verdict = 'new' then
    select coalesce(fault, queue_fault(n, 'stream')) into fault from unnest(p_streams) n where (stream_of(n)).id is null limit 1;
    insert into forward_stream (source, stream) select p_source, (stream_of(n)).id from unnest(p_streams) n where fault is null on conflict do nothing;
    insert into forward_batch (source, batch, txid, txids, from_id, to_id)
      select p_source, (p_batch->>'id')::bigint, pg_current_xact_id()::text::bigint, (p_batch->>'range')::int8multirange, (p_batch->>'from')::bigint, (p_batch->>'to')::bigint where p_streams <> '{}';
  end if;
  update forward_position set batch = coalesce((p_batch->>'id')::bigint, batch), place = coalesce(p_batch->>'place', place), at = clock(), subscriptions = p_subscriptions where source = p_source;
  for b in select * from forward_batch where source = p_source order by batch loop
    exit when forward_waits(b, p_subscriptions);
    delete from forward_batch where source = p_source and batch = b.batch;
  end loop;
  return next;
end
$$`,
  `/* The sources whose subscriptions may still need copies of a segment. */
create or replace function {schema}.forward_holders(p_stream int, p_segment int) returns text[]
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  w record;
  v_holds boolean;
  v_names text[] := '{}';
begin
  for w in select f.source, min(b.txid) as txid from forward_stream f join forward_batch b on b.source = f.source where f.stream = p_stream group by f.source order by f.source loop
    execute format('select exists (select from only %I where txid >= $1)', event_table(p_stream) || '_' || p_segment) into v_holds using w.txid;
    if v_holds then
      v_names := v_names || w.source;
    end if;
  end loop;
  return v_names;
end
$$`,
  `/* Makes a copy a stream of its own: the subscriptions of the source come to be here, and each gets as retries the copies of what it had not done with there when
   the forwarder last told; then what is published from now on. One whose name is taken stays as it is. Nobody publishes meanwhile. */
create or replace function {schema}.try_promote_stream(p_stream text) returns table (fault jsonb, subscription text, created boolean, events bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  q queue := stream_of(p_stream);
  w record;
  s subscription;
begin
  fault := case when q.id is null or not hold_stream(q.id) then queue_fault(p_stream, 'stream') else coalesce(isolation_fault(), cluster_fault()) end;
  if fault is not null then
    return next;
    return;
  end if;
  perform pg_advisory_xact_lock_shared(lock_space('rotation'), q.id);
  perform from forward_position where source in (select source from forward_stream where stream = q.id) order by source for update;
  execute format('lock table %I in exclusive mode', event_table(q.id));
  for w in select x->>'name' as name, (array_agg(x->'settings'))[1] as settings, jsonb_agg(x || jsonb_build_object('source', p.source)) as parts
             from forward_stream f join forward_position p on p.source = f.source, jsonb_array_elements(p.subscriptions) x where f.stream = q.id group by 1 order by 1
  loop
    subscription := w.name;
    events := 0;
    insert into subscription (stream, name, created_at, lease, max_attempts, backoff, lag_limit, when_stuck)
      select q.id, w.name, clock(), lease, max_attempts, backoff, lag_limit, when_stuck from jsonb_populate_record(null::subscription, w.settings)
        on conflict (stream, name) do nothing returning * into s;
    created := s.id is not null;
    if created then
      perform set_position(s.id, l.seen, l.tick, l.sent) from start_of(q.id, '"latest"') l;
      events := take_copies(s, w.parts);
    end if;
    return next;
  end loop;
  delete from forward_stream where stream = q.id;
  delete from forward_batch b where not exists (select from forward_stream f where f.source = b.source);
end
$$`,
  `create or replace function {schema}.take_copies(s {schema}.subscription, p_parts jsonb) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_count bigint;
begin
  execute format('insert into event_retry (subscription, due, attempt, event, txid, at, type, key, data, headers, extra1, extra2, extra3, extra4)
    select $1, $2, 0, e.id, e.txid, e.at, e.type, e.key, e.data, e.headers, e.extra1, e.extra2, e.extra3, e.extra4
      from %I e, lateral (select e.headers->''sluice''->>''source'' as source, (e.headers->''sluice''->>''id'')::bigint as id, (e.headers->''sluice''->>''txid'')::bigint as txid offset 0) h
     where exists (select from jsonb_to_recordset($3) as p(source text, parts jsonb, retries jsonb) where p.source = h.source
                      and (exists (select from jsonb_to_recordset(p.parts) as w(txids int8multirange, "from" bigint, "to" bigint) where h.txid <@ w.txids and h.id between w."from" and w."to")
                        or p.retries ? h.id::text))
     order by e.id', event_table(s.stream)) using s.id, clock(), p_parts;
  get diagnostics v_count = row_count;
  return v_count;
end
$$`,
  `create or replace function {schema}.promote_stream(name text) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
  v_all bigint := 0;
begin
  for v in select * from try_promote_stream(name) loop
    perform raise_fault(v.fault);
    v_all := v_all + v.events;
  end loop;
  return v_all;
end
$$`,
  `/* A new version brings new functions; those of each storage are made from them. */
do $$ begin
  perform {schema}.clone_functions(id) from {schema}.storage where id <> 0 and to_regclass('{schema}.message_s' || id) is not null;
end $$`,
  `/* For a client that misses a function: roles may not look into the table. */
create or replace function {schema}.installed_version() returns int
language sql stable set search_path = {schema}, pg_temp as 'select max(version) from migration'`,
  `/* What each role may call, by name. An admin may call everything that anybody may. */
create or replace function {schema}.role_functions(p_kind text) returns text[]
language sql immutable as $$
  select case p_kind
    when 'producer' then '{installed_version,send,send_batch,cancel,try_send,try_send_batch,try_send_with,try_edit,try_cancel,results_of,insert_event,try_publish,try_forward}'
    when 'consumer' then '{installed_version,read,pop,delete,archive,release,set_vt,extend,retry,snooze,dead_letter,try_read,try_pop,try_delete,try_archive,try_settle,try_set_vt,try_lock,try_finish,beat,leave_worker,maintain,flip_step,due_partitions,partition_step,expire_archive,clear_leftovers,due_schedules,fire_schedule,try_progress,once,try_once,keep_once,expire_once,installation_id,try_next_batch,reading_probe,try_batch_events,try_lock_batch,try_renew_batch,try_finish_batch,try_forward_source,next_batch,batch_events,renew_batch,release_batch,finish_batch,try_tick,due_streams,rotate_step,clear_batches,check_lags}'
    when 'reader' then '{installed_version,storage_differences,metrics,try_metrics,list_queues,count_queues,try_get_queue,try_list_messages,try_count_messages,try_list_archive,try_count_archive,try_get_schedule,list_schedules,try_list_workers,try_count_workers,try_get_worker,try_worker_health,try_stream_info,try_get_stream,try_list_streams,try_list_subscriptions,try_list_dead_events}'
    when 'admin' then '{create_queue,update_queue,drop_queue,purge,admin_delete,admin_archive,admin_set_vt,pause_queue,resume_queue,redrive,try_pause,try_redrive,try_create_queue,try_update_queue,try_drop_queue,try_purge,try_admin_delete,try_admin_archive,try_admin_set_vt,try_upsert_schedule,try_pause_schedule,try_resume_schedule,try_remove_schedule,try_run_schedule,suspend_worker,resume_worker,shutdown_worker,purge_workers,try_tell_worker,create_stream,update_stream,drop_stream,create_subscription,drop_subscription,force_tick,after_restore,promote_stream,try_promote_stream,try_create_stream,try_update_stream,try_drop_stream,try_create_subscription,try_update_subscription,try_reposition,try_drop_subscription,try_redrive_events,try_after_restore,capture,capture_plan,try_capture_table,capture_row,expression_fault}'
  end::text[]
$$`,
  `/* Makes the role unless there is one, and lets it call the functions of its kind. No rights on tables: the functions run as
   the owner of the schema. */
create or replace function {schema}.set_role(p_kind text, p_name text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault(coalesce(
    argument_fault('p_kind', p_kind in ('producer', 'consumer', 'reader', 'admin')),
    argument_fault('p_name', length(p_name) > 0)));
  if to_regrole(quote_ident(p_name)) is null then
    begin
      execute format('create role %I nologin', p_name);
    exception when duplicate_object or unique_violation then
      null; /* by another database of this cluster, at the same moment */
    end;
  end if;
  insert into role (kind, name) values (p_kind, p_name) on conflict do nothing;
  perform grant_role(p_kind, p_name);
end
$$`,
  `create or replace function {schema}.grant_role(p_kind text, p_name text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_names text[] := role_functions(p_kind)
    || case when p_kind = 'admin' then role_functions('producer') || role_functions('consumer') || role_functions('reader') else '{}' end;
  v_function text;
begin
  execute format('grant usage on schema %I to %I', current_schema(), p_name);
  for v_function in
    select format('%I(%s)', proname, pg_get_function_identity_arguments(oid)) from pg_proc
     where pronamespace = own_schema() and proname = any (v_names)
  loop
    execute format('grant execute on function %s to %I', v_function, p_name);
  end loop;
end
$$`,
  `/* Whoever may come into the schema may still call nothing that was not granted. What a role may call runs as the owner. */
do $$
declare
  v_function text;
begin
  revoke execute on all functions in schema {schema} from public;
  for v_function in
    select format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where p.pronamespace = '{schema}'::regnamespace
       /* The triggers of a table are made by whoever owns it. */
       and p.proname not in ('try_capture_table', 'capture_row', 'expression_fault')
       and p.proname = any ({schema}.role_functions('producer') || {schema}.role_functions('consumer') || {schema}.role_functions('reader') || {schema}.role_functions('admin'))
  loop
    execute 'alter function ' || v_function || ' security definer';
  end loop;
  perform {schema}.grant_role(kind, name) from {schema}.role where to_regrole(quote_ident(name)) is not null;
end $$`,
]
