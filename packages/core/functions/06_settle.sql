/* Every settle matches (id, lease). p_ids is ascending, so that all settles lock in one order, and width_bucket finds the
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
    -- leaf v_live each p_ids
    return query
      delete from message m
       where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
      returning null::jsonb, m.id;
    get diagnostics v_count = row_count;
    v_done := v_done + v_count;
    -- end
    exit when v_pass = 2 or v_done = cardinality(p_ids) or not flipping(q.storage, v_generation);
    v_live := '{0,1}';
  end loop;
end
$$
-- next
create or replace function {schema}.try_archive(p_queue text, p_ids bigint[], p_leases bigint[]) returns table (fault jsonb, id bigint)
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
    -- leaf v_live each p_ids
    return query
      with gone as (
        delete from message m
         where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
        returning m.*)
      insert into archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors)
      select queue, id, v_now, 'done', priority, attempt, enqueued_at, origin, headers, payload, errors from gone
      returning null::jsonb, archive.id;
    get diagnostics v_count = row_count;
    v_done := v_done + v_count;
    -- end
    exit when v_pass = 2 or v_done = cardinality(p_ids) or not flipping(q.storage, v_generation);
    v_live := '{0,1}';
  end loop;
end
$$
-- next
/* Hands messages back, ready at once. The attempt stays counted. */
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
    return query execute format('select * from %I($1, $2, $3)', 'try_release_s' || q.storage)
      using p_queue, p_ids, p_leases;
    return;
  end if;
  select s.live, s.generation into v_live, v_generation from segment s where s.storage = q.storage order by s.generation desc limit 1;
  for v_pass in 1 .. 2 loop
    -- leaf v_live each p_ids
    return query
      update message m set vt = v_now, lease = null
       where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
      returning null::jsonb, m.id;
    get diagnostics v_count = row_count;
    v_done := v_done + v_count;
    -- end
    exit when v_pass = 2 or v_done = cardinality(p_ids) or not flipping(q.storage, v_generation);
    v_live := '{0,1}';
  end loop;
end
$$
-- next
/* Moves the end of a lease: to p_at, to p_delay from now, or by p_extend. Never below now, so that no reader's floor passes it. */
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
    -- leaf v_live
    return query
      update message m set vt = greatest(v_now, p_at, v_now + p_delay, m.vt + p_extend)
       where m.queue = q.id and m.id = p_id and m.lease = p_lease
      returning null::jsonb, m.vt;
    -- end
    exit when v_pass = 2 or found or not flipping(q.storage, v_generation);
    v_live := '{0,1}';
  end loop;
end
$$
-- next
/* Gives a failed message back with its error, ready after p_delay; at its limit of attempts it is buried instead. The last
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
  v_live smallint[];
  v_generation bigint;
  v_now timestamptz := clock();
  v_vt timestamptz;
  v_attempt int;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or q.storage <> 0 and not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::text, null::timestamptz;
    return;
  end if;
  if q.storage <> 0 then
    return query execute format('select * from %I($1, $2, $3, $4, $5)', 'try_retry_s' || q.storage)
      using p_queue, p_id, p_lease, p_delay, p_error;
    return;
  end if;
  select s.live, s.generation into v_live, v_generation from segment s where s.storage = q.storage order by s.generation desc limit 1;
  for v_pass in 1 .. 2 loop
    -- leaf v_live
    update message m
       set vt = greatest(v_now, v_now + p_delay), lease = null,
           errors = case when p_error is null then m.errors
                    else case when jsonb_array_length(m.errors) >= 50 then m.errors - 0 else coalesce(m.errors, '[]') end || jsonb_build_array(p_error || jsonb_build_object('attempt', m.attempt, 'at', v_now)) end
     where m.queue = q.id and m.id = p_id and m.lease = p_lease
    returning m.vt, m.attempt into v_vt, v_attempt;
    -- end
    exit when v_pass = 2 or found or not flipping(q.storage, v_generation);
    v_live := '{0,1}';
  end loop;
  if v_vt is null then
    return;
  end if;
  if v_attempt >= q.max_attempts then
    perform bury(q, v_live, array[p_id], null, v_now);
    return query select null::jsonb, 'dead', null::timestamptz;
  else
    return query select null::jsonb, 'retry', v_vt;
  end if;
end
$$
-- next
create or replace function {schema}.stale_fault(p_queue text, p_id bigint) returns jsonb
language sql immutable as $$ select jsonb_build_object('code', 'stale_lease', 'queue', p_queue, 'id', p_id::text) $$
-- next
/* The public forms raise SL003 when the lease is stale. */
create or replace function {schema}.delete(queue text, id bigint, lease bigint) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_delete(queue, array[id], array[lease]);
  perform raise_fault(coalesce(v.fault, case when v.id is null then stale_fault(queue, id) end));
end
$$
-- next
create or replace function {schema}.archive(queue text, id bigint, lease bigint) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_archive(queue, array[id], array[lease]);
  perform raise_fault(coalesce(v.fault, case when v.id is null then stale_fault(queue, id) end));
end
$$
-- next
create or replace function {schema}.release(queue text, id bigint, lease bigint) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_release(queue, array[id], array[lease]);
  perform raise_fault(coalesce(v.fault, case when v.id is null then stale_fault(queue, id) end));
end
$$
-- next
create or replace function {schema}.set_vt(queue text, id bigint, lease bigint, delay interval) returns timestamptz
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('delay', isfinite(delay)));
  select * into v from try_set_vt(queue, id, lease, null, delay, null);
  perform raise_fault(coalesce(v.fault, case when v.visible_at is null then stale_fault(queue, id) end));
  return v.visible_at;
end
$$
-- next
create or replace function {schema}.extend(queue text, id bigint, lease bigint, by interval) returns timestamptz
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('by', isfinite(by)));
  select * into v from try_set_vt(queue, id, lease, null, null, by);
  perform raise_fault(coalesce(v.fault, case when v.visible_at is null then stale_fault(queue, id) end));
  return v.visible_at;
end
$$
-- next
create or replace function {schema}.retry(queue text, id bigint, lease bigint, delay interval default '0', error jsonb default null) returns text
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
$$
