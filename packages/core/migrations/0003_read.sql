/* The ids of up to p_limit ready messages, locked, in the order of delivery: priority, then readiness. The array form keeps
   the plan: whoever updates or deletes them has only the primary key left as a path, whatever the statistics say. */
create function {schema}.lock_ready(q {schema}.queue, p_limit int, p_now timestamptz) returns bigint[]
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
/* Leases up to p_limit ready messages; an UPDATE returns rows in no order, so each carries its place. One random lease for the claim: rollback, crash or restore can never repeat it.
   A message at its limit of attempts is buried instead of delivered; 10,000 of them end the claim, so that a crowd of dead
   ones is cleared by several claims where one would run into a timeout again and again. p_own: nobody else's transaction, so the commit need
   not wait for the disk; a claim that is lost in a crash is delivered again, and the settle that follows flushes it. */
create function {schema}.try_read(p_queue text, p_limit int, p_lease interval, p_own boolean)
returns table (
  fault jsonb, place int, id bigint, priority int, attempt int, lease bigint, enqueued_at timestamptz, visible_at timestamptz,
  headers jsonb, payload jsonb
)
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
  v_now timestamptz := clock();
  v_lease bigint := new_lease();
  v_until timestamptz;
  v_want int := p_limit;
  v_seen int := 0;
  v_buried int := 0;
  v_ids bigint[];
  v_sorted bigint[];
  v_rank int[];
  v_taken int;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or isolation_fault() is not null then
    return query select coalesce(isolation_fault(), queue_fault(p_queue, 'work')),
      0, null::bigint, 0, 0, null::bigint, v_now, v_now, null::jsonb, null::jsonb;
    return;
  end if;
  if p_own then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  v_until := greatest(v_now, v_now + coalesce(p_lease, q.lease));
  loop
    v_ids := lock_ready(q, v_want, v_now);
    exit when v_ids = '{}';
    if p_limit > 1 then
      select array_agg(i order by i), array_agg(v_seen + n order by i) into v_sorted, v_rank
        from unnest(v_ids) with ordinality u(i, n);
    end if;
    return query
      update message m set vt = v_until, lease = v_lease, attempt = m.attempt + 1
       where m.queue = q.id and m.id = any (v_ids) and (q.max_attempts is null or m.attempt < q.max_attempts)
      returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt, m.lease, m.enqueued_at, m.vt, m.headers, m.payload;
    get diagnostics v_taken = row_count;
    exit when v_taken = cardinality(v_ids);
    v_buried := v_buried + bury(q, v_ids || dead_ahead(q, v_now), v_lease, v_now);
    v_want := v_want - v_taken;
    v_seen := v_seen + cardinality(v_ids);
    /* What a lease of 0 took is ready again already: a second look would find it. */
    exit when v_want = 0 or v_buried >= 10000 or v_taken > 0 and v_until <= v_now;
  end loop;
end
$$
-- next
/* Those at their limit of attempts among the next 1000 ready messages of each level, locked. Met one by one, each would cost
   a scan over all that were buried before it. Looks before it locks: what is alive stays free for other readers. */
create function {schema}.dead_ahead(q {schema}.queue, p_now timestamptz) returns bigint[]
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
/* 63 random bits. Not from random(), which a session may have seeded. */
create function {schema}.new_lease() returns bigint
language sql volatile as 'select uuid_hash_extended(gen_random_uuid(), 0) & 9223372036854775807'
-- next
/* Reads and deletes in one step: at most once, for those who would rather lose a message than see it twice. */
create function {schema}.try_pop(p_queue text, p_limit int)
returns table (
  fault jsonb, place int, id bigint, priority int, attempt int, lease bigint, enqueued_at timestamptz, visible_at timestamptz,
  headers jsonb, payload jsonb
)
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
  v_now timestamptz := clock();
  v_want int := p_limit;
  v_seen int := 0;
  v_buried int := 0;
  v_ids bigint[];
  v_sorted bigint[];
  v_rank int[];
  v_taken int;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or isolation_fault() is not null then
    return query select coalesce(isolation_fault(), queue_fault(p_queue, 'work')),
      0, null::bigint, 0, 0, null::bigint, v_now, v_now, null::jsonb, null::jsonb;
    return;
  end if;
  loop
    v_ids := lock_ready(q, v_want, v_now);
    exit when v_ids = '{}';
    if p_limit > 1 then
      select array_agg(i order by i), array_agg(v_seen + n order by i) into v_sorted, v_rank
        from unnest(v_ids) with ordinality u(i, n);
    end if;
    return query
      delete from message m
       where m.queue = q.id and m.id = any (v_ids) and (q.max_attempts is null or m.attempt < q.max_attempts)
      returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt + 1, null::bigint, m.enqueued_at, m.vt, m.headers, m.payload;
    get diagnostics v_taken = row_count;
    exit when v_taken = cardinality(v_ids);
    v_buried := v_buried + bury(q, v_ids || dead_ahead(q, v_now), null, v_now);
    v_want := v_want - v_taken;
    v_seen := v_seen + cardinality(v_ids);
    exit when v_want = 0 or v_buried >= 10000;
  end loop;
end
$$
-- next
/* Those of p_ids that used up their attempts leave for the dead-letter queue, or the archive where there is none; never
   those that carry p_spare, the lease of the claim that is just being made. */
create function {schema}.bury(q {schema}.queue, p_ids bigint[], p_spare bigint, p_now timestamptz) returns int
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
create type {schema}.delivery as (
  id bigint, priority int, attempt int, lease bigint, enqueued_at timestamptz, visible_at timestamptz, headers jsonb, payload jsonb
)
-- next
create function {schema}.read(queue text, "limit" int default 1, lease interval default null) returns setof {schema}.delivery
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(coalesce(
    argument_fault('limit', "limit" >= 0),
    argument_fault('lease', isfinite(coalesce(lease, '0')))));
  for v in select * from try_read(queue, "limit", lease, false) order by place loop
    perform raise_fault(v.fault);
    return next (v.id, v.priority, v.attempt, v.lease, v.enqueued_at, v.visible_at, v.headers, v.payload)::delivery;
  end loop;
end
$$
-- next
create function {schema}.pop(queue text, "limit" int default 1) returns setof {schema}.delivery
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('limit', "limit" >= 0));
  for v in select * from try_pop(queue, "limit") order by place loop
    perform raise_fault(v.fault);
    return next (v.id, v.priority, v.attempt, v.lease, v.enqueued_at, v.visible_at, v.headers, v.payload)::delivery;
  end loop;
end
$$
