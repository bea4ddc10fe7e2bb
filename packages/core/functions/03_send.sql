create or replace function {schema}.priority_fault(q {schema}.queue, p_priority int, p_index int) returns jsonb
language sql immutable as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'code', 'priority', 'queue', q.name, 'actual', p_priority, 'levels', q.levels, 'index', p_index))
$$
-- next
/* What was ever sent to a queue is a sequence: a counter row would be the hottest row of the database, and held by every
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
$$
-- next
/* One message. Takes no lock that another producer or consumer waits for; any isolation level. */
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
$$
-- next
/* Many messages, in order, all or nothing. The payloads travel as one JSON array, measured faster than an array of texts;
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
$$
-- next
create or replace function {schema}.send(
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
$$
-- next
create or replace function {schema}.send_batch(
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
$$
