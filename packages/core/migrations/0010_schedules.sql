/* What sends a message again and again. next_at is the run that is planned: null while paused, and when there is none left.
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
)
-- next
create index schedule_wake on {schema}.schedule (wake_at)
-- next
create index schedule_queue on {schema}.schedule (queue)
