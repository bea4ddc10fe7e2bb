/* Leases up to p_limit ready messages; an UPDATE returns rows in no order, so each carries its place. One random lease for the claim: rollback, crash or restore can never repeat it.
   A message at its limit of attempts is buried instead of delivered; 10,000 of them end the claim, so that a crowd of dead
   ones is cleared by several claims where one would run into a timeout again and again. p_own: nobody else's transaction, so
   the commit need not wait for the disk (a claim that is lost in a crash is delivered again, and the settle that follows
   flushes it), and the claim may sweep where it finds nothing or pays for dead rows. p_filter: {headers, payload}, each to be contained. */
create or replace function {schema}.try_read(p_queue text, p_limit int, p_lease interval, p_own boolean, p_filter jsonb)
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
  v_live smallint[];
  v_now timestamptz := clock();
  v_lease bigint := new_lease();
  v_until timestamptz;
  v_want int := p_limit;
  v_seen int := 0;
  v_buried int := 0;
  v_ids bigint[];
  v_gone bigint[];
  v_sorted bigint[];
  v_rank int[];
  v_taken int;
  v_looked boolean := false;
  v_blocks bigint;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or isolation_fault() is not null or q.storage <> 0 and not hold_storage(q) then
    return query select coalesce(isolation_fault(), queue_fault(p_queue, 'work')),
      0, null::bigint, 0, 0, null::bigint, v_now, v_now, null::jsonb, null::jsonb;
    return;
  end if;
  if q.storage <> 0 then
    return query execute format('select * from %I($1, $2, $3, $4, $5)', 'try_read_s' || q.storage)
      using p_queue, p_limit, p_lease, p_own, p_filter;
    return;
  end if;
  if q.paused_at is not null then
    return;
  end if;
  if p_own then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
  v_blocks := blocks_fetched(q.storage);
  v_until := greatest(v_now, v_now + coalesce(p_lease, q.lease));
  loop
    v_ids := case when q.ungrouped is null or not goes_round(q) then lock_ready(q, v_live, v_want, v_now, p_filter) else lock_grouped(q, v_live, v_want, v_now, p_filter) end;
    if v_ids = '{}' then
      exit when v_seen > 0 or v_looked or not p_own or not found_elsewhere(q, v_blocks);
      v_looked := true;
      v_now := clock();
      select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
      continue;
    end if;
    if exists (select from cancellation c where c.queue = q.id) then
      v_ids := without_cancelled(q, v_live, v_ids, v_now);
      continue when v_ids = '{}';
    end if;
    v_sorted := v_ids;
    if p_limit > 1 then
      select array_agg(i order by i), array_agg(v_seen + n order by i) into v_sorted, v_rank
        from unnest(v_ids) with ordinality u(i, n);
    end if;
    -- leaf v_live
    return query
      update message m set vt = v_until, lease = v_lease, attempt = m.attempt + 1
       where m.queue = q.id and m.id = any (v_sorted) and (q.max_attempts is null or m.attempt < q.max_attempts)
         and (m.expire_at is null or m.expire_at > v_now)
      returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt, m.lease, m.enqueued_at, m.vt, m.headers, m.payload;
    -- end
    get diagnostics v_taken = row_count;
    exit when v_taken = cardinality(v_ids);
    v_gone := v_ids || dead_ahead(q, v_live, v_now);
    v_buried := v_buried + discard_expired(q, v_live, v_gone, v_now) + bury(q, v_live, v_gone, v_lease, v_now);
    v_want := v_want - v_taken;
    v_seen := v_seen + cardinality(v_ids);
    /* What a lease of 0 took is ready again already: a second look would find it. */
    exit when v_want = 0 or v_buried >= 10000 or v_taken > 0 and v_until <= v_now;
  end loop;
  if p_own and v_taken > 0 and v_buried = 0 and p_filter is null and blocks_fetched(q.storage) - v_blocks > 16 + 8 * v_taken then
    perform sweep(q);
  end if;
end
$$
-- next
/* Reads and deletes in one step: at most once, for those who would rather lose a message than see it twice. */
create or replace function {schema}.try_pop(p_queue text, p_limit int, p_own boolean, p_filter jsonb)
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
  v_live smallint[];
  v_now timestamptz := clock();
  v_want int := p_limit;
  v_seen int := 0;
  v_buried int := 0;
  v_ids bigint[];
  v_gone bigint[];
  v_sorted bigint[];
  v_rank int[];
  v_taken int;
  v_looked boolean := false;
  v_blocks bigint;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or isolation_fault() is not null or q.storage <> 0 and not hold_storage(q) then
    return query select coalesce(isolation_fault(), queue_fault(p_queue, 'work')),
      0, null::bigint, 0, 0, null::bigint, v_now, v_now, null::jsonb, null::jsonb;
    return;
  end if;
  if q.storage <> 0 then
    return query execute format('select * from %I($1, $2, $3, $4)', 'try_pop_s' || q.storage)
      using p_queue, p_limit, p_own, p_filter;
    return;
  end if;
  if q.paused_at is not null then
    return;
  end if;
  select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
  v_blocks := blocks_fetched(q.storage);
  loop
    v_ids := case when q.ungrouped is null or not goes_round(q) then lock_ready(q, v_live, v_want, v_now, p_filter) else lock_grouped(q, v_live, v_want, v_now, p_filter) end;
    if v_ids = '{}' then
      exit when v_seen > 0 or v_looked or not p_own or not found_elsewhere(q, v_blocks);
      v_looked := true;
      v_now := clock();
      select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
      continue;
    end if;
    if exists (select from cancellation c where c.queue = q.id) then
      v_ids := without_cancelled(q, v_live, v_ids, v_now);
      continue when v_ids = '{}';
    end if;
    v_sorted := v_ids;
    if p_limit > 1 then
      select array_agg(i order by i), array_agg(v_seen + n order by i) into v_sorted, v_rank
        from unnest(v_ids) with ordinality u(i, n);
    end if;
    -- leaf v_live
    return query
      delete from message m
       where m.queue = q.id and m.id = any (v_sorted) and (q.max_attempts is null or m.attempt < q.max_attempts)
         and (m.expire_at is null or m.expire_at > v_now)
      returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt + 1, null::bigint, m.enqueued_at, m.vt, m.headers, m.payload;
    -- end
    get diagnostics v_taken = row_count;
    if exists (select from unnest(v_sorted) w(id), lateral (select d.parent from dependency d where d.queue = q.id and d.parent = w.id limit 1) d) then
      perform release_dependants(q, v_sorted, true);
    end if;
    exit when v_taken = cardinality(v_ids);
    v_gone := v_ids || dead_ahead(q, v_live, v_now);
    v_buried := v_buried + discard_expired(q, v_live, v_gone, v_now) + bury(q, v_live, v_gone, null, v_now);
    v_want := v_want - v_taken;
    v_seen := v_seen + cardinality(v_ids);
    exit when v_want = 0 or v_buried >= 10000;
  end loop;
  if p_own and v_taken > 0 and v_buried = 0 and p_filter is null and blocks_fetched(q.storage) - v_blocks > 16 + 8 * v_taken then
    perform sweep(q);
  end if;
end
$$
-- next
create or replace function {schema}.filter_fault(p_filter jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select case when p_filter is not null then argument_fault('filter',
    jsonb_typeof(p_filter) = 'object' and jsonb_typeof(coalesce(p_filter->'headers', '{}')) = 'object'
    and p_filter - 'headers' - 'payload' = '{}' and p_filter <> '{}') end
$$
-- next
create or replace function {schema}.read(
  queue text, "limit" int default 1, lease interval default null, filter jsonb default null
) returns setof {schema}.delivery
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(coalesce(
    argument_fault('limit', "limit" >= 0),
    argument_fault('lease', isfinite(coalesce(lease, '0'))),
    filter_fault(filter)));
  for v in select * from try_read(queue, "limit", lease, false, filter) order by place loop
    perform raise_fault(v.fault);
    return next (v.id, v.priority, v.attempt, v.lease, v.enqueued_at, v.visible_at, v.headers, v.payload)::delivery;
  end loop;
end
$$
-- next
create or replace function {schema}.pop(queue text, "limit" int default 1, filter jsonb default null) returns setof {schema}.delivery
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(coalesce(argument_fault('limit', "limit" >= 0), filter_fault(filter)));
  for v in select * from try_pop(queue, "limit", false, filter) order by place loop
    perform raise_fault(v.fault);
    return next (v.id, v.priority, v.attempt, v.lease, v.enqueued_at, v.visible_at, v.headers, v.payload)::delivery;
  end loop;
end
$$
