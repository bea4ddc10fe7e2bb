/* Read-only listings, each row one JSON document. Keyset paging: pass the last key of a page to get the next. */
create or replace function {schema}.list_queues(p_prefix text, p_after text, p_limit int) returns setof jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select queue_info(q) from queue q
   where q.dropped_at is null and q.kind = 'work'
     and (p_prefix is null or starts_with(q.name, p_prefix))
     and (p_after is null or q.name > p_after)
   order by q.name limit p_limit
$$
-- next
create or replace function {schema}.count_queues(p_prefix text) returns bigint
language sql stable set search_path = {schema}, pg_temp as $$
  select count(*) from queue q
   where q.dropped_at is null and q.kind = 'work' and (p_prefix is null or starts_with(q.name, p_prefix))
$$
-- next
create or replace function {schema}.try_get_queue(p_name text) returns table (fault jsonb, info jsonb)
language sql stable set search_path = {schema}, pg_temp as $$
  select case when q.id is null then queue_fault(p_name, 'work') end, queue_info(q)
    from (select 1) one left join queue q on q.name = p_name and q.dropped_at is null and q.kind = 'work'
$$
-- next
create or replace function {schema}.message_info(m {schema}.message, p_now timestamptz) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object(
    'id', m.id::text, 'queue', (select name from queue where id = m.queue), 'state', message_state(m.lease, m.vt, p_now),
    'priority', m.priority, 'attempt', m.attempt, 'enqueuedAt', extract(epoch from m.enqueued_at) * 1000,
    'visibleAt', case when m.vt < 'infinity' then extract(epoch from m.vt) * 1000 end,
    'origin', (select name from queue where id = m.origin),
    'headers', coalesce(m.headers, '{}'), 'payload', m.payload, 'errors', coalesce(m.errors, '[]'))
$$
-- next
/* p_id, p_queue and p_state narrow the list where they are not null. Queue by queue, each in the order of the primary key: a
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
$$
-- next
create or replace function {schema}.try_count_messages(p_queue text, p_state text) returns table (fault jsonb, count bigint)
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
$$
-- next
create or replace function {schema}.archive_info(a {schema}.archive) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object(
    'id', a.id::text, 'queue', (select name from queue where id = a.queue), 'outcome', a.outcome,
    'priority', a.priority, 'attempt', a.attempt, 'enqueuedAt', extract(epoch from a.enqueued_at) * 1000,
    'archivedAt', extract(epoch from a.archived_at) * 1000, 'origin', (select name from queue where id = a.origin),
    'headers', coalesce(a.headers, '{}'), 'payload', a.payload, 'errors', coalesce(a.errors, '[]'))
$$
-- next
/* Also of dropped queues that kept their archive: a name stands for every queue that ever bore it. In the order of an index,
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
$$
-- next
create or replace function {schema}.try_count_archive(p_queue text, p_outcome text) returns table (fault jsonb, count bigint)
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
$$
