/* Leases up to p_limit ready messages; an UPDATE returns rows in no order, so each carries its place. One random lease for the claim: rollback, crash or restore can never repeat it.
   A message at its limit of attempts is buried instead of delivered; 10,000 of them end the claim, so that a crowd of dead
   ones is cleared by several claims where one would run into a timeout again and again. p_own: nobody else's transaction, so the commit need
   not wait for the disk; a claim that is lost in a crash is delivered again, and the settle that follows flushes it. */
create or replace function {schema}.try_read(p_queue text, p_limit int, p_lease interval, p_own boolean)
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
/* Reads and deletes in one step: at most once, for those who would rather lose a message than see it twice. */
create or replace function {schema}.try_pop(p_queue text, p_limit int)
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
create or replace function {schema}.read(queue text, "limit" int default 1, lease interval default null) returns setof {schema}.delivery
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
create or replace function {schema}.pop(queue text, "limit" int default 1) returns setof {schema}.delivery
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
