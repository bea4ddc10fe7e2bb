/* A message that waits goes at once: cancelled. Of one that somebody holds it is noted: requested. The beat of its worker tells
   him, and it goes when he settles it, however he does unless by done; or when it would be delivered again. */
create or replace function {schema}.try_cancel(p_queue text, p_ids bigint[]) returns table (fault jsonb, id bigint, outcome text)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_waiting bigint[];
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::bigint, null::text;
    return;
  end if;
  execute format('select array(select w.id from unnest($2) u(id), lateral (select m.id from %I m where m.queue = $1 and m.id = u.id
    and message_state(m.lease, m.vt, $3) <> ''inFlight'' for update skip locked) w)', message_table(q.storage)) into v_waiting using q.id, p_ids, v_now;
  perform discard(q, '{0,1}', v_waiting, 'cancelled', v_now);
  return query select null::jsonb, u.id, 'cancelled' from unnest(v_waiting) u(id);
  /* A note that is there already is not touched: a claim that is to clear it must not wait for this transaction. */
  execute format('insert into cancellation (queue, id, at)
    select $1, u.id, $3 from unnest($2) u(id) where exists (select from %I m where m.queue = $1 and m.id = u.id)
    on conflict do nothing', message_table(q.storage)) using q.id, p_ids, v_now;
  return query execute format('select null::jsonb, c.id, ''requested'' from cancellation c
    where c.queue = $1 and c.id = any ($2) and exists (select from %I m where m.queue = $1 and m.id = c.id)', message_table(q.storage)) using q.id, p_ids;
end
$$
-- next
/* What became of the message: cancelled, requested of one that somebody holds, or null where there is none. */
create or replace function {schema}.cancel(queue text, id bigint) returns text
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_cancel(queue, array[id]);
  perform raise_fault(v.fault);
  return v.outcome;
end
$$
-- next
/* Notes of cancellations whose message is gone: settled as done meanwhile, or with its queue. */
create or replace function {schema}.clear_cancellations(p_limit int default 1000) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  c cancellation;
  q queue;
  v_there boolean;
  v_count int := 0;
begin
  for c in select * from cancellation order by queue, id loop
    exit when v_count >= p_limit;
    select * into q from queue where id = c.queue;
    v_there := false;
    if q.dropped_at is null then
      continue when not hold_if_free(q);
      execute format('select exists (select from %I m where m.queue = $1 and m.id = $2)', message_table(q.storage)) into v_there using c.queue, c.id;
    end if;
    if not v_there then
      delete from cancellation where queue = c.queue and id = c.id;
      v_count := v_count + 1;
    end if;
  end loop;
  return v_count;
end
$$
-- next
/* Whoever claims from a paused queue gets nothing, from the next claim on; sends and settles go on. */
create or replace function {schema}.try_pause(p_queue text, p_paused boolean) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  q queue;
begin
  update queue set paused_at = case when p_paused then coalesce(paused_at, clock()) end
   where name = p_queue and kind = 'work' and dropped_at is null returning * into q;
  if q.id is not null and not p_paused then
    perform pg_notify(current_schema() || '_wake', q.name);
  end if;
  return query select case when q.id is null then queue_fault(p_queue, 'work') end, case when q.id is not null then queue_info(q) end;
end
$$
-- next
create or replace function {schema}.pause_queue(name text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault((select fault from try_pause(name, true)));
end
$$
-- next
create or replace function {schema}.resume_queue(name text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault((select fault from try_pause(name, false)));
end
$$
