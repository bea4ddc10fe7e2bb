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
  if exists (select from unnest(p_ids) w(id), lateral (select d.parent from dependency d where d.queue = q.id and d.parent = w.id limit 1) d) then
    perform release_dependants(q, p_ids, true);
  end if;
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
      insert into archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key)
      select queue, id, v_now, 'done', priority, attempt, enqueued_at, origin, headers, payload, errors, group_name, key from gone
      returning null::jsonb, archive.id;
    get diagnostics v_count = row_count;
    v_done := v_done + v_count;
    -- end
    exit when v_pass = 2 or v_done = cardinality(p_ids) or not flipping(q.storage, v_generation);
    v_live := '{0,1}';
  end loop;
  if exists (select from unnest(p_ids) w(id), lateral (select d.parent from dependency d where d.queue = q.id and d.parent = w.id limit 1) d) then
    perform release_dependants(q, p_ids, true);
  end if;
end
$$
-- next
/* How long a failed message waits, by the attempt that failed. */
create or replace function {schema}.backoff_delay(p_backoff jsonb, p_attempt int) returns interval
language sql volatile as $$
  select coalesce(
    least((p_backoff->>'max')::float8, (p_backoff->>'base')::float8 * case p_backoff->>'kind'
      when 'linear' then greatest(p_attempt, 1) when 'exponential' then 2 ^ least(greatest(p_attempt, 1) - 1, 50) else 1 end)
    * (1 - (p_backoff->>'jitter')::float8 * random()), 0) * interval '1 millisecond'
$$
-- next
/* When a message is ready again that is given back like this. */
create or replace function {schema}.ready_again(p_backoff jsonb, p_attempt int, p_what jsonb, p_now timestamptz) returns timestamptz
language sql volatile set search_path = {schema}, pg_temp as $$
  select greatest(p_now, p_now + coalesce((p_what->>'delay')::float8 * interval '1 millisecond',
    case when p_what->>'to' = 'retry' then backoff_delay(p_backoff, p_attempt) end))
$$
-- next
/* The last 50 are kept: without a limit of attempts they would outgrow every payload, and each retry rewrites them all. */
create or replace function {schema}.with_error(p_errors jsonb, p_error jsonb, p_attempt int, p_now timestamptz) returns jsonb
language sql immutable as $$
  select case when p_error is null or p_error = 'null' then p_errors
    else case when jsonb_array_length(p_errors) >= 50 then p_errors - 0 else coalesce(p_errors, '[]') end
      || jsonb_build_array(p_error || jsonb_build_object('attempt', p_attempt, 'at', p_now)) end
$$
-- next
/* Ends leases, but for those of messages that are done. p_what tells of each id {to, delay, error}, delay in milliseconds.
   release: ready at once. retry: ready after the delay, or the queue's backoff; buried at the limit of attempts. snooze: ready
   after the delay, the attempt not charged. dead: buried now. cancel: gone, as is what was cancelled while it was held. */
create or replace function {schema}.try_settle(p_queue text, p_ids bigint[], p_leases bigint[], p_what jsonb)
returns table (fault jsonb, id bigint, outcome text, visible_at timestamptz)
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
  v_ids bigint[] := '{}';
  v_attempts int[] := '{}';
  v_times timestamptz[] := '{}';
  v_outcomes text[];
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or q.storage <> 0 and not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::bigint, null::text, null::timestamptz;
    return;
  end if;
  if q.storage <> 0 then
    return query execute format('select * from %I($1, $2, $3, $4)', 'try_settle_s' || q.storage)
      using p_queue, p_ids, p_leases, p_what;
    return;
  end if;
  select s.live, s.generation into v_live, v_generation from segment s where s.storage = q.storage order by s.generation desc limit 1;
  for v_pass in 1 .. 2 loop
    -- leaf v_live each p_ids
    with given as (
      update message m
         set lease = null,
             vt = ready_again(q.backoff, m.attempt, p_what->(width_bucket(m.id, p_ids) - 1), v_now),
             errors = with_error(m.errors, p_what->(width_bucket(m.id, p_ids) - 1)->'error', m.attempt, v_now),
             attempt = m.attempt - (p_what->(width_bucket(m.id, p_ids) - 1)->>'to' = 'snooze')::int
       where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
      returning m.id, m.attempt, m.vt)
    select v_ids || array_agg(g.id), v_attempts || array_agg(g.attempt), v_times || array_agg(g.vt)
      into v_ids, v_attempts, v_times from given g;
    -- end
    exit when v_pass = 2 or cardinality(v_ids) = cardinality(p_ids) or not flipping(q.storage, v_generation);
    v_live := '{0,1}';
  end loop;
  v_outcomes := array(
    select case
        when p_what->(width_bucket(u.id, p_ids) - 1)->>'to' = 'cancel'
          or (select c.id from cancellation c where c.queue = q.id and c.id = u.id) is not null then 'cancelled'
        when p_what->(width_bucket(u.id, p_ids) - 1)->>'to' = 'retry' and u.attempt >= q.max_attempts then 'dead'
        else p_what->(width_bucket(u.id, p_ids) - 1)->>'to'
      end
      from unnest(v_ids, v_attempts) with ordinality u(id, attempt, n) order by u.n);
  if 'dead' = any (v_outcomes) then
    q.max_attempts := 0;
    perform bury(q, v_live, array(select u.id from unnest(v_ids, v_outcomes) u(id, outcome) where u.outcome = 'dead'), null, v_now);
  end if;
  if 'cancelled' = any (v_outcomes) then
    perform discard(q, v_live, array(select u.id from unnest(v_ids, v_outcomes) u(id, outcome) where u.outcome = 'cancelled'), 'cancelled', v_now);
  end if;
  return query
    select null::jsonb, u.id, u.outcome, case when u.outcome in ('release', 'retry', 'snooze') then u.vt end
      from unnest(v_ids, v_outcomes, v_times) u(id, outcome, vt);
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
/* Locks messages under their leases, for a transaction that is to settle them: nobody else can take them while it lives,
   however long, and none that is cancelled is begun. */
create or replace function {schema}.try_lock(p_queue text, p_ids bigint[], p_leases bigint[]) returns table (fault jsonb, id bigint, cancelled boolean)
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
  v_found int := 0;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or q.storage <> 0 and not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::bigint, null::boolean;
    return;
  end if;
  if q.storage <> 0 then
    return query execute format('select * from %I($1, $2, $3)', 'try_lock_s' || q.storage)
      using p_queue, p_ids, p_leases;
    return;
  end if;
  select s.live, s.generation into v_live, v_generation from segment s where s.storage = q.storage order by s.generation desc limit 1;
  for v_pass in 1 .. 2 loop
    -- leaf v_live each p_ids
    return query
      select null::jsonb, m.id, exists (select from cancellation c where c.queue = q.id and c.id = m.id) from message m
       where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
         for update;
    get diagnostics v_count = row_count;
    v_found := v_found + v_count;
    -- end
    exit when v_pass = 2 or v_found = cardinality(p_ids) or not flipping(q.storage, v_generation);
    v_live := '{0,1}';
  end loop;
end
$$
-- next
/* Keeps the leases of messages that are being handled, those that would end before p_before, and returns which are lost. Locked
   ones need none: a transaction has them, and nobody could take them. */
create or replace function {schema}.keep(q {schema}.queue, p_ids bigint[], p_leases bigint[], p_before timestamptz, p_until timestamptz) returns bigint[]
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
  v_lost bigint[];
begin
  if q.storage <> 0 then
    if hold_if_free(q) then
      execute format('select %I($1, $2, $3, $4, $5)', 'keep_s' || q.storage) into v_lost using q, p_ids, p_leases, p_before, p_until;
    end if;
    return coalesce(v_lost, '{}');
  end if;
  select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
  -- leaf v_live
  v_ids := array(
    select k.id
      from unnest(p_ids, p_leases) h(id, lease),
           lateral (select m.id from message m where m.queue = q.id and m.id = h.id and m.lease = h.lease and m.vt < p_before for update skip locked) k);
  update message m set vt = p_until
   where m.queue = q.id and m.id = any (v_ids);
  /* A scalar, so that it is looked up id by id: a join might read the whole queue. */
  v_lost := array(
    select h.id from unnest(p_ids, p_leases) h(id, lease)
     where (select m.lease from message m where m.queue = q.id and m.id = h.id) is distinct from h.lease);
  -- end
  if v_lost <> '{}' then
    /* Or moved to the other segment. */
    v_lost := array(
      select u.id from unnest(v_lost) u(id)
       where (select m.lease from message m where m.queue = q.id and m.id = u.id limit 1) is distinct from p_leases[width_bucket(u.id, p_ids)]);
  end if;
  return v_lost;
end
$$
