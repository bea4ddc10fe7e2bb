/* Deletes every message of a queue, leased ones too. The archive stays. By the primary key, so that it locks in order of id,
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
$$
-- next
/* 0 of a counter that is dropped in the middle of the statement: metrics of all queues never fail for one of them. */
create or replace function {schema}.last_sent(p_id int) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  return coalesce(pg_sequence_last_value(own_relation('sent_' || p_id)), 0);
exception when undefined_table or internal_error then
  return 0;
end
$$
-- next
create or replace function {schema}.count_messages(q {schema}.queue, p_now timestamptz, p_wait boolean) returns table (
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
$$
-- next
/* Of one queue, or of all where p_queue is null (but one that is just being dropped), each by its own range of the primary key. length counts every row. Ages are of enqueued_at, null where empty. */
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
$$
-- next
create or replace function {schema}.purge(queue text) returns int
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_purge(queue);
  perform raise_fault(v.fault);
  return v.count;
end
$$
-- next
create or replace function {schema}.metrics(queue text default null) returns table (
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
$$
