/* grp: the hash of group_name; 0 of a message without one in a queue whose claims go round its groups; null everywhere else, so
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
end $$
-- next
/* ungrouped: the grp of messages without a group; null where claims do not go round groups. Rates: {limit, per}, per in milliseconds. */
alter table {schema}.queue
  add fifo boolean not null default false,
  add fair boolean not null default false,
  add concurrency int check (concurrency > 0),
  add group_concurrency int check (group_concurrency > 0),
  add rate jsonb,
  add group_rate jsonb,
  add ungrouped bigint check (ungrouped = 0),
  add grouped_at timestamptz
-- next
/* Which message has a key. It holds until the time, and as long as the message is in its queue: nobody needs to free it. */
create table {schema}.unique_key (
  queue int not null,
  key text collate "C" not null,
  id bigint not null,
  until timestamptz not null,
  /* Only until a reader got the message. */
  to_start boolean not null,
  primary key (queue, key)
)
-- next
create index unique_key_until on {schema}.unique_key (until) where until < 'infinity'
-- next
/* The child is parked until all its parents have left their queues. */
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
)
-- next
create index dependency_child on {schema}.dependency (child)
-- next
/* How many messages were delivered lately, by the starts of hundredths of the interval of a rate; of the queue as a whole under group -1. */
create table {schema}.rate_use (
  queue int not null,
  grp bigint not null,
  slice timestamptz not null,
  used int not null,
  primary key (queue, grp, slice)
)
