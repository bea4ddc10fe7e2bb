/* What a worker finished, in one statement: those that are done are deleted or archived, as the queue says; of the others p_what
   tells what becomes of them, as in try_settle. p_results: what the handlers returned for those that are done, where the queue keeps
   it. Who is not in the answer no longer held the message. */
create or replace function {schema}.try_finish(
  p_queue text, p_done_ids bigint[], p_done_leases bigint[], p_results jsonb, p_ids bigint[], p_leases bigint[], p_what jsonb
) returns table (fault jsonb, id bigint, outcome text, visible_at timestamptz)
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  q queue;
  v_fault jsonb;
  v_done bigint[];
begin
  if p_done_ids <> '{}' then
    select * into q from queue where name = p_queue and dropped_at is null;
    if q.done = 'archive' then
      select (array_agg(d.fault))[1], array_agg(d.id) into v_fault, v_done from try_archive(p_queue, p_done_ids, p_done_leases) d;
    else
      select (array_agg(d.fault))[1], array_agg(d.id) into v_fault, v_done from try_delete(p_queue, p_done_ids, p_done_leases) d;
    end if;
    if v_fault is null and q.result_retention is not null then
      perform keep_results(q, v_done, 'done', (select jsonb_agg(p_results->(width_bucket(u.id, p_done_ids) - 1) order by u.n) from unnest(v_done) with ordinality u(id, n)), null, clock());
    end if;
    return query select v_fault, u.id, 'done', null::timestamptz from unnest(v_done) u(id);
  end if;
  if p_ids <> '{}' then
    return query select * from try_settle(p_queue, p_ids, p_leases, p_what);
  end if;
end
$$
-- next
/* A sign of life, and what a worker must know: one statement for all that it holds. p_worker: {name, hostname, port, queues, every},
   every and lease in milliseconds; by default, every third of the shortest lease. p_held: of each queue {ids, leases, lease}, ids ascending. Extends only leases that would end
   before the beat after the next, so that a handler shorter than a beat costs nothing. Answers the state that the worker was told to be in, its
   queues as far as they are there, and of the messages those that are lost and those that were cancelled. */
create or replace function {schema}.beat(p_worker jsonb, p_held jsonb, p_starting boolean default false) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_now timestamptz := clock();
  v_every interval := coalesce((p_worker->>'every')::float8 * interval '1 millisecond', beat_interval(p_held));
  v_state text;
  v_queue text;
  v_all jsonb;
  v_ids bigint[];
  q queue;
  v_queues jsonb := '{}';
  v_lost bigint[] := '{}';
  v_cancelled bigint[] := '{}';
  v_fault jsonb := isolation_fault();
begin
  if v_fault is null and p_starting then
    v_fault := (select f from jsonb_object_keys(p_held) k, missing_queue_fault(k) f where f is not null order by k limit 1);
  end if;
  if v_fault is not null then
    return jsonb_build_object('fault', v_fault);
  end if;
  perform set_config('synchronous_commit', 'off', true);
  v_state := stamp_worker(p_worker, v_every, p_held, p_starting, v_now);
  for v_queue, v_all in select * from jsonb_each(p_held) order by key loop
    select * into q from queue where name = v_queue and kind = 'work' and dropped_at is null;
    v_ids := array(select jsonb_array_elements_text(v_all->'ids'))::bigint[];
    if q.id is null then
      v_lost := v_lost || v_ids;
      continue;
    end if;
    v_queues := v_queues || jsonb_build_object(q.name, jsonb_build_object(
      'paused', q.paused_at is not null, 'lease', extract(epoch from q.lease) * 1000, 'onInvalid', q.on_invalid, 'results', q.result_retention is not null));
    if v_ids <> '{}' then
      v_lost := v_lost || keep(q, v_ids, array(select jsonb_array_elements_text(v_all->'leases'))::bigint[], v_now + 2 * v_every,
        v_now + coalesce((v_all->>'lease')::float8 * interval '1 millisecond', q.lease));
      v_cancelled := v_cancelled || array(select c.id from cancellation c where c.queue = q.id and c.id = any (v_ids));
    end if;
  end loop;
  return jsonb_build_object('state', v_state, 'every', extract(epoch from v_every) * 1000, 'queues', v_queues, 'lost', to_jsonb(v_lost::text[]), 'cancelled', to_jsonb(v_cancelled::text[]));
end
$$
-- next
/* A third of the shortest lease, but 10 seconds at most, however long the leases are: a beat also brings what the worker is told. */
create or replace function {schema}.beat_interval(p_held jsonb) returns interval
language sql stable set search_path = {schema}, pg_temp set enable_seqscan = off as $$
  select greatest(interval '20 milliseconds', least(interval '10 seconds', min(coalesce((h.value->>'lease')::float8 * interval '1 millisecond', q.lease, '30 seconds')) / 3))
    from jsonb_each(p_held) h left join queue q on q.name = h.key and q.kind = 'work' and q.dropped_at is null
$$
-- next
/* A row that somebody purged is there again. One that reads stopped, though it beats, was given up for dead while it was to stop, and still is;
   or another process of this name has left. */
create or replace function {schema}.stamp_worker(p_worker jsonb, p_every interval, p_held jsonb, p_starting boolean, p_now timestamptz) returns text
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_state text;
  v_held int := coalesce((select sum(jsonb_array_length(value->'ids')) from jsonb_each(p_held)), 0);
begin
  if not p_starting then
    update worker set beat_at = p_now, every = p_every, held = v_held,
      state = case when state <> 'stopped' then state when shutdown_at is null then 'running' else 'stopping' end where name = p_worker->>'name' returning state into v_state;
  end if;
  if v_state is null then
    insert into worker as w (name, hostname, port, queues, started_at, beat_at, every, held)
    values (p_worker->>'name', p_worker->>'hostname', (p_worker->>'port')::int, array(select jsonb_array_elements_text(p_worker->'queues')), p_now, p_now, p_every, v_held)
    on conflict (name) do update set hostname = excluded.hostname, port = excluded.port, queues = excluded.queues, state = 'running', shutdown_at = null,
      started_at = excluded.started_at, beat_at = excluded.beat_at, every = excluded.every, held = excluded.held
    returning w.state into v_state;
  end if;
  return v_state;
end
$$
-- next
/* Of a worker that has stopped. It stays in the list until it is purged, or maintenance finds it old. */
create or replace function {schema}.leave_worker(p_name text) returns void
language sql volatile set search_path = {schema}, pg_temp as $$
  update worker set state = 'stopped', held = 0, beat_at = clock() where name = p_name
$$
