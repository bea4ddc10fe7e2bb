/* The ids of up to p_limit ready messages, locked, in the order of delivery: priority, then readiness. The array form keeps
   the plan: whoever updates or deletes them has only the primary key left as a path, whatever the statistics say. */
create or replace function {schema}.lock_ready(q {schema}.queue, p_limit int, p_now timestamptz) returns bigint[]
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_sort = off
set jit = off
as $$
declare
  v_live smallint[];
begin
  select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
  return array(
    select r.id
      from generate_series(0, q.deepest - 1) l(level),
           lateral (
             select m.id from message m
              where m.queue = q.id and m.segment = any (v_live) and m.priority = l.level
                and m.vt < 'infinity' and m.vt <= p_now
                and m.vt >= coalesce((select f.vt from floor f
                                       where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                                       order by f.version desc limit 1), '-infinity')
              order by m.vt, m.id limit p_limit for update skip locked) r
     limit p_limit);
end
$$
-- next
/* Those at their limit of attempts among the next 1000 ready messages of each level, locked. Met one by one, each would cost
   a scan over all that were buried before it. Looks before it locks: what is alive stays free for other readers. */
create or replace function {schema}.dead_ahead(q {schema}.queue, p_now timestamptz) returns bigint[]
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_sort = off
set jit = off
as $$
declare
  v_live smallint[];
  v_ids bigint[];
begin
  select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
  v_ids := array(
    select r.id
      from generate_series(0, q.deepest - 1) l(level),
           lateral (
             select m.id, m.attempt from message m
              where m.queue = q.id and m.segment = any (v_live) and m.priority = l.level
                and m.vt < 'infinity' and m.vt <= p_now
                and m.vt >= coalesce((select f.vt from floor f
                                       where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                                       order by f.version desc limit 1), '-infinity')
              order by m.vt, m.id limit 1000) r
     where r.attempt >= q.max_attempts);
  return array(
    select m.id from message m
     where m.queue = q.id and m.id = any (v_ids) and m.attempt >= q.max_attempts and m.vt <= p_now
       for update skip locked);
end
$$
-- next
/* Those of p_ids that used up their attempts leave for the dead-letter queue, or the archive where there is none; never
   those that carry p_spare, the lease of the claim that is just being made. */
create or replace function {schema}.bury(q {schema}.queue, p_ids bigint[], p_spare bigint, p_now timestamptz) returns int
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
#variable_conflict use_column
declare
  d queue;
  v_count int;
begin
  select * into d from queue where id = q.dead_letter and dropped_at is null;
  if d.id is null then
    with gone as (
      delete from message m
       where m.queue = q.id and m.id = any (p_ids) and m.attempt >= q.max_attempts and (p_spare is null or m.lease is distinct from p_spare)
      returning m.*)
    insert into archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors)
    select queue, id, p_now, 'dead', priority, attempt, enqueued_at, origin, headers, payload, errors from gone;
    get diagnostics v_count = row_count;
    return v_count;
  end if;
  with gone as (
    delete from message m
     where m.queue = q.id and m.id = any (p_ids) and m.attempt >= q.max_attempts and (p_spare is null or m.lease is distinct from p_spare)
    returning m.*)
  insert into message (segment, queue, id, priority, vt, enqueued_at, origin, headers, payload, errors)
  select (select current from segment where storage = d.storage order by generation desc limit 1),
         d.id, id, least(priority, d.levels - 1), p_now, enqueued_at, q.id, headers, payload, errors from gone;
  get diagnostics v_count = row_count;
  perform count_sent(d, v_count);
  return v_count;
end
$$
-- next
/* 63 random bits. Not from random(), which a session may have seeded. */
create or replace function {schema}.new_lease() returns bigint
language sql volatile as 'select uuid_hash_extended(gen_random_uuid(), 0) & 9223372036854775807'
