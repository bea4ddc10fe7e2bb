/* By id alone, whoever holds the lease: that lease is stale then. For operators; a reader settles with its lease. */
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
$$
-- next
create or replace function {schema}.try_admin_archive(p_queue text, p_ids bigint[]) returns table (fault jsonb, id bigint)
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
$$
-- next
/* Takes the lease away too: what its holder does next is refused. */
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
$$
-- next
/* For SQL: true where there was such a message. */
create or replace function {schema}.admin_delete(queue text, id bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_admin_delete(queue, array[id]);
  perform raise_fault(v.fault);
  return v.id is not null;
end
$$
-- next
create or replace function {schema}.admin_archive(queue text, id bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_admin_archive(queue, array[id]);
  perform raise_fault(v.fault);
  return v.id is not null;
end
$$
-- next
/* The new time, or null where there is no such message. */
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
$$
