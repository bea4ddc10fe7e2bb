/* What a stream has beside its name, which is a row of queue. */
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
)
-- next
/* Unique in the installation. An event is named by its stream and its id. */
create sequence {schema}.event_id
-- next
/* Which segment of a stream takes new events. Insert-only, the newest generation counts. */
create table {schema}.stream_segment (
  stream int not null,
  generation bigint not null,
  current smallint not null,
  at timestamptz not null,
  sent bigint not null,
  primary key (stream, generation)
)
-- next
/* Shared marks in a stream: who lags behind makes his batches between them. Insert-only. */
create table {schema}.tick (
  stream int not null,
  id bigint not null,
  seen int8multirange not null,
  at timestamptz not null,
  sent bigint not null,
  primary key (stream, id)
)
-- next
create index tick_sent on {schema}.tick (stream, sent, id)
-- next
create table {schema}.subscription (
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
)
-- next
create sequence {schema}.batch_id
-- next
/* Batches that were handed out, and where a subscription stands: insert-only, the newest row counts.
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
)
-- next
/* The lease of a batch that was renewed, or given back, which its own row does not tell: who finishes one under an older
   snapshot must not meet an update. Without owner it was given back, and its attempt is not charged. */
create table {schema}.batch_lease (
  subscription int not null,
  batch bigint not null,
  until timestamptz not null,
  owner text,
  primary key (subscription, batch)
) with (fillfactor = 50)
-- next
/* Parts of a window that has more events than one batch may hold. */
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
)
-- next
/* How a batch ended: of two who end it one is first. */
create table {schema}.batch_end (
  subscription int not null,
  batch bigint not null,
  outcome text not null check (outcome in ('finished', 'taken', 'dropped')),
  at timestamptz not null,
  events int not null,
  primary key (subscription, batch)
)
-- next
/* Events that one subscription gets once more when they are due, and dead ones, which are due never. */
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
)
-- next
create index event_retry_due on {schema}.event_retry (subscription, due, id)
-- next
/* Whose transaction ids are stored here: after a restore into another cluster they mean nothing. */
alter table {schema}.installation add cluster text
-- next
update {schema}.installation set cluster = (select system_identifier::text from pg_control_system())
