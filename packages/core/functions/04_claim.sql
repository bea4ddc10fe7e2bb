/* The ids of up to p_limit ready messages, locked, in the order of delivery: priority, then readiness. The array form keeps
   the plan: whoever updates or deletes them has only the primary key left as a path, whatever the statistics say. A floor
   counts while somebody looks below it: one that nobody attended for 10 seconds is as good as none. */
create or replace function {schema}.lock_ready(q {schema}.queue, p_live smallint[], p_limit int, p_now timestamptz, p_filter jsonb) returns bigint[]
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
  v_headers jsonb := p_filter->'headers';
  v_payload jsonb := p_filter->'payload';
begin
  -- leaf p_live
  return array(
    select r.id
      from generate_series(0, q.deepest - 1) l(level),
           lateral (
             select m.id from message m
              where m.queue = q.id and m.priority = l.level
                and m.vt < 'infinity' and m.vt <= p_now
                and m.vt >= coalesce((select case when f.swept_at between p_now - interval '10 seconds' and p_now + interval '10 seconds' then f.vt end from floor f
                                       where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                                       order by f.version desc limit 1), '-infinity')
                and (v_headers is null or coalesce(m.headers, '{}') @> v_headers) and (v_payload is null or m.payload @> v_payload)
              order by m.vt, m.id limit p_limit for update skip locked) r
     limit p_limit);
  -- end
end
$$
-- next
/* Those at their limit of attempts, or whose time is over, among the next 1000 ready messages of each level, locked. Met one by one, each would cost
   a scan over all that were buried before it. Looks before it locks: what is alive stays free for other readers. */
create or replace function {schema}.dead_ahead(q {schema}.queue, p_live smallint[], p_now timestamptz) returns bigint[]
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
  v_ids bigint[];
begin
  -- leaf p_live
  v_ids := array(
    select r.id
      from generate_series(0, q.deepest - 1) l(level),
           lateral (
             select m.id, m.attempt, m.expire_at from message m
              where m.queue = q.id and m.priority = l.level
                and m.vt < 'infinity' and m.vt <= p_now
                and m.vt >= coalesce((select case when f.swept_at between p_now - interval '10 seconds' and p_now + interval '10 seconds' then f.vt end from floor f
                                       where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                                       order by f.version desc limit 1), '-infinity')
              order by m.vt, m.id limit 1000) r
     where r.attempt >= q.max_attempts or r.expire_at <= p_now);
  v_ids := array(
    select r.id
      from unnest(v_ids) e(id),
           lateral (
             select m.id from message m
              where m.queue = q.id and m.id = e.id and (m.attempt >= q.max_attempts or m.expire_at <= p_now) and m.vt <= p_now
                for update skip locked) r);
  -- end
  return without_cancelled(q, p_live, v_ids, p_now);
end
$$
-- next
/* Those of p_ids that used up their attempts leave for the dead-letter queue, or the archive where there is none; never
   those that carry p_spare, the lease of the claim that is just being made. Dynamic: it may lead from any storage to any other. */
create or replace function {schema}.bury(q {schema}.queue, p_live smallint[], p_ids bigint[], p_spare bigint, p_now timestamptz) returns int
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  d queue;
  v_count int;
  v_gone bigint[];
  v_errors jsonb[];
  v_which text := format('%I m where m.queue = $1 and m.id = any ($2) and m.attempt >= $3 and ($4 is null or m.lease is distinct from $4)', message_leaf(q.storage, p_live));
  v_delete text := format('delete from %s returning m.*', v_which);
begin
  if q.result_retention is not null then
    execute format('select array_agg(m.id), array_agg(m.errors->-1) from %s', v_which) into v_gone, v_errors using q.id, p_ids, q.max_attempts, p_spare;
    perform keep_results(q, v_gone, 'dead', null, v_errors, p_now);
  end if;
  select * into d from queue where id = q.dead_letter and dropped_at is null;
  if d.id is null or not hold_storage(d) then
    execute format('with gone as (%s)
      insert into %I (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key)
      select queue, id, $5, ''dead'', priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key from gone',
      v_delete, archive_table(q.storage)) using q.id, p_ids, q.max_attempts, p_spare, p_now;
    get diagnostics v_count = row_count;
    perform left_queue(q, p_ids, false);
    return v_count;
  end if;
  execute format('with gone as (%s)
    insert into %I (segment, queue, id, priority, vt, enqueued_at, origin, headers, payload, errors, grp, group_name, key)
    select (select current from segment where storage = $6 order by generation desc limit 1),
           $7, id, least(priority, $8 - 1), $5, enqueued_at, $1, headers, payload, errors, group_of($9, group_name), group_name, key from gone',
    v_delete, message_table(d.storage)) using q.id, p_ids, q.max_attempts, p_spare, p_now, d.storage, d.id, d.levels, d.ungrouped;
  get diagnostics v_count = row_count;
  perform left_queue(q, p_ids, false);
  perform count_sent(d, v_count);
  return v_count;
end
$$
-- next
/* For every way in which messages leave a queue, after they did. Looked up at the end, by a statement of its own: it sees who began to
   wait for them until now. */
create or replace function {schema}.left_queue(q {schema}.queue, p_ids bigint[], p_done boolean) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
begin
  if p_ids is null or exists (select from unnest(p_ids) w(id), lateral (select d.parent from dependency d where d.queue = q.id and d.parent = w.id limit 1) d) then
    perform release_dependants(q, p_ids, p_done);
  end if;
end
$$
-- next
/* Messages that will not be delivered any more: for the archive where the queue keeps what is done. Their rows are locked by this
   transaction. */
create or replace function {schema}.discard(q {schema}.queue, p_live smallint[], p_ids bigint[], p_outcome text, p_now timestamptz) returns int
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_count int := discard_rows(q, p_live, p_ids, p_outcome, p_now);
begin
  perform left_queue(q, p_ids, false);
  return v_count;
end
$$
-- next
create or replace function {schema}.discard_rows(q {schema}.queue, p_live smallint[], p_ids bigint[], p_outcome text, p_now timestamptz) returns int
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  v_count int;
  v_delete text := format('delete from %I m where m.queue = $1 and m.id = any ($2)', message_leaf(q.storage, p_live));
begin
  if q.done = 'archive' then
    execute format('with gone as (%s returning m.*)
      insert into %I (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key)
      select queue, id, $3, $4, priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key from gone',
      v_delete, archive_table(q.storage)) using q.id, p_ids, p_now, p_outcome;
  else
    execute v_delete using q.id, p_ids;
  end if;
  get diagnostics v_count = row_count;
  delete from cancellation where queue = q.id and id = any (p_ids);
  if q.result_retention is not null then
    perform keep_results(q, p_ids, p_outcome, null, null, p_now);
  end if;
  delete from dependency where child = any (p_ids);
  return v_count;
end
$$
-- next
/* Those that a claim has locked and whose time is over. */
create or replace function {schema}.discard_expired(q {schema}.queue, p_live smallint[], p_ids bigint[], p_now timestamptz) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_ids bigint[];
begin
  execute format('select array(select m.id from %I m where m.queue = $1 and m.id = any ($2) and m.expire_at <= $3 order by m.id)', message_leaf(q.storage, p_live))
     into v_ids using q.id, p_ids, p_now;
  return case when v_ids = '{}' then 0 else discard(q, p_live, v_ids, 'expired', p_now) end;
end
$$
-- next
/* For a claim: discards those of p_ids that were cancelled while somebody held them, and returns the others, in order. With them go
   1000 others that were: met one by one, many would keep the claim busy until it ran into a timeout. */
create or replace function {schema}.without_cancelled(q {schema}.queue, p_live smallint[], p_ids bigint[], p_now timestamptz) returns bigint[]
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_gone bigint[] := array(select c.id from cancellation c where c.queue = q.id and c.id = any (p_ids));
  v_more bigint[];
begin
  if v_gone <> '{}' then
    execute format('select array(select r.id from (select c.id from cancellation c where c.queue = $1 and c.id <> all ($2) order by c.id limit 1000) n,
      lateral (select m.id from %I m where m.queue = $1 and m.id = n.id and m.vt <= $3 for update skip locked) r)', message_leaf(q.storage, p_live))
      into v_more using q.id, v_gone, p_now;
    perform discard(q, p_live, v_gone || v_more, 'cancelled', p_now);
  end if;
  return array(select u.id from unnest(p_ids) with ordinality u(id, n) where u.id <> all (v_gone) order by u.n);
end
$$
-- next
/* 63 random bits. Not from random(), which a session may have seeded. */
create or replace function {schema}.new_lease() returns bigint
language sql volatile as 'select uuid_hash_extended(gen_random_uuid(), 0) & 9223372036854775807'
