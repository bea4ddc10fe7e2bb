create table {schema}.migration (
  version int primary key,
  name text not null,
  breaking boolean not null,
  applied_at timestamptz not null default clock_timestamp()
)
-- next
/* Queues and streams share one namespace. A dropped queue leaves its row behind: archived messages still name it. */
create table {schema}.queue (
  id int generated always as identity primary key,
  name text collate "C" not null check (name ~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$'),
  kind text not null default 'work' check (kind in ('work', 'stream')),
  storage int not null default 0,
  levels smallint not null default 4 check (levels between 1 and 16),
  /* Highest `levels` this queue ever had. Claims visit them all, so that a send racing with a lowering is never stranded. */
  deepest smallint not null default 4 check (deepest between levels and 16),
  lease interval not null default '30 seconds' check (lease > interval '0' and isfinite(lease)),
  max_attempts int default 20 check (max_attempts > 0),
  dead_letter int references {schema}.queue check (dead_letter <> id),
  notify text not null default 'off' check (notify in ('off', 'transaction')),
  created_at timestamptz not null,
  dropped_at timestamptz
)
-- next
create unique index queue_name on {schema}.queue (name) where dropped_at is null
-- next
create index queue_dead_letter on {schema}.queue (dead_letter) where dead_letter is not null
-- next
create sequence {schema}.message_id
-- next
/* Work storage. Delay, backoff, lease expiry and parking are all just values of vt. Two segments, so that maintenance can
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
) partition by list (segment)
-- next
create table {schema}.message_0 partition of {schema}.message for values in (0)
  with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0)
-- next
create table {schema}.message_1 partition of {schema}.message for values in (1)
  with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0)
-- next
/* Partial, so that a by-id plan can never pick it. */
create index message_claim on {schema}.message (queue, priority, vt, id) where vt < 'infinity'
-- next
/* Which segment takes new rows and which ones readers visit. Insert-only, the newest generation counts. */
create table {schema}.segment (
  storage int not null,
  generation bigint not null,
  current smallint not null,
  live smallint[] not null,
  at timestamptz not null,
  primary key (storage, generation)
)
-- next
insert into {schema}.segment (storage, generation, current, live, at) values (0, 1, 0, '{0}', clock_timestamp())
-- next
/* Where a claim scan starts, so that dead entries below cost nothing. Insert-only, the newest version counts. */
create table {schema}.floor (
  storage int not null,
  queue int not null,
  priority smallint not null,
  version bigint generated always as identity,
  vt timestamptz not null,
  swept_at timestamptz not null,
  primary key (storage, queue, priority, version)
)
-- next
create table {schema}.archive (
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
) partition by range (archived_at)
-- next
/* No settle ever fails because maintenance did not make a partition. */
create table {schema}.archive_default partition of {schema}.archive default
-- next
create index archive_message on {schema}.archive (queue, id)
-- next
/* Partial, so that a plan for one queue can never pick it. */
create index archive_id on {schema}.archive (id) where queue > 0
