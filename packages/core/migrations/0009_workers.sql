/* backoff: {kind, base, max, jitter}, base and max in milliseconds; null is at once. */
alter table {schema}.queue
  add backoff jsonb default '{"kind": "exponential", "base": 1000, "max": 600000, "jitter": 0.2}',
  add done text not null default 'delete' check (done in ('delete', 'archive')),
  add on_invalid text not null default 'deadLetter' check (on_invalid in ('deadLetter', 'raise')),
  add paused_at timestamptz
-- next
/* That a message is to go which somebody holds. It stays until it is settled, or would be delivered again. */
create table {schema}.cancellation (
  queue int not null,
  id bigint not null,
  at timestamptz not null,
  primary key (queue, id)
)
-- next
/* Who is at work. A row is stamped at every beat, hence room for its next version beside it. */
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
) with (fillfactor = 50)
-- next
/* Of the shared archive, and of those that queues have of their own. */
do $$
declare
  v_table text;
begin
  for v_table in select 'archive' union all select 'archive_s' || id from {schema}.storage where own_archive loop
    execute format('alter table {schema}.%I drop constraint archive_outcome_check, add constraint archive_outcome_check check (outcome in (''done'', ''dead'', ''cancelled''))', v_table);
    /* For redrive: few are dead among many that are done. */
    execute format('create index if not exists %I on {schema}.%I (queue, id) where outcome = ''dead''', v_table || '_dead', v_table);
  end loop;
end $$
-- next
/* Of version 8: others took their place. */
do $$ declare
  v_function regprocedure;
begin
  for v_function in
    select oid from pg_proc where pronamespace = '{schema}'::regnamespace and proname ~ '^(try_release|try_retry)(_s[0-9]+)?$'
  loop
    execute 'drop function ' || v_function;
  end loop;
end $$
