/* Three beats are missing: dead, stopped by a signal, or cut off. */
create or replace function {schema}.worker_is_stale(w {schema}.worker, p_now timestamptz) returns boolean
language sql stable as $$
  select w.state <> 'stopped' and w.beat_at < p_now - 3 * w.every
$$
-- next
create or replace function {schema}.worker_info(w {schema}.worker, p_now timestamptz) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object(
    'name', w.name, 'hostname', w.hostname, 'port', w.port, 'queues', w.queues, 'state', w.state, 'stale', worker_is_stale(w, p_now), 'held', w.held,
    'startedAt', extract(epoch from w.started_at) * 1000, 'beatAt', extract(epoch from w.beat_at) * 1000,
    'shutdownAt', extract(epoch from w.shutdown_at) * 1000, 'every', extract(epoch from w.every) * 1000)
$$
-- next
/* Null where there is such a queue, and where none is named. */
create or replace function {schema}.missing_queue_fault(p_queue text) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select queue_fault(p_queue, 'work')
   where p_queue is not null and not exists (select from queue where name = p_queue and kind = 'work' and dropped_at is null)
$$
-- next
create or replace function {schema}.try_list_workers(p_queue text, p_state text, p_after text, p_limit int) returns table (fault jsonb, item jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_now timestamptz := clock();
  v_fault jsonb := missing_queue_fault(p_queue);
begin
  if v_fault is not null then
    return query select v_fault, null::jsonb;
    return;
  end if;
  return query
    select null::jsonb, worker_info(w, v_now) from worker w
     where (p_queue is null or p_queue = any (w.queues)) and (p_state is null or w.state = p_state) and (p_after is null or w.name > p_after)
     order by w.name limit p_limit;
end
$$
-- next
create or replace function {schema}.try_count_workers(p_queue text, p_state text) returns table (fault jsonb, count bigint)
language sql stable set search_path = {schema}, pg_temp as $$
  select missing_queue_fault(p_queue), count(*) from worker w
   where (p_queue is null or p_queue = any (w.queues)) and (p_state is null or w.state = p_state)
$$
-- next
create or replace function {schema}.try_get_worker(p_name text) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  w worker;
begin
  select * into w from worker where name = p_name;
  return query select worker_fault(w, p_name), case when w.id is not null then worker_info(w, clock()) end;
end
$$
-- next
create or replace function {schema}.worker_fault(w {schema}.worker, p_name text) returns jsonb
language sql immutable as $$
  select case when w.id is null then jsonb_build_object('code', 'worker_not_found', 'worker', p_name) end
$$
-- next
/* How many are in each state; of those that have not stopped, how many are stale, what they hold, and the beat that is the longest ago. */
create or replace function {schema}.try_worker_health(p_queue text) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_now timestamptz := clock();
begin
  return query
    select missing_queue_fault(p_queue), jsonb_build_object(
      'total', count(*), 'running', count(*) filter (where w.state = 'running'), 'suspended', count(*) filter (where w.state = 'suspended'),
      'stopping', count(*) filter (where w.state = 'stopping'), 'stopped', count(*) filter (where w.state = 'stopped'),
      'stale', count(*) filter (where worker_is_stale(w, v_now)), 'held', coalesce(sum(w.held) filter (where w.state <> 'stopped'), 0),
      'oldestBeatAt', extract(epoch from min(w.beat_at) filter (where w.state <> 'stopped')) * 1000)
      from worker w where p_queue is null or p_queue = any (w.queues);
end
$$
-- next
/* Tells a worker what to be, running, suspended or stopping, which it learns at its next beat. What it is already is no mistake; of one
   that stops nothing else can be had. A stale one that is to stop counts as stopped; if it lives after all, its next beat tells it. */
create or replace function {schema}.try_tell_worker(p_name text, p_to text) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  w worker;
  v_now timestamptz := clock();
begin
  select * into w from worker where name = p_name for update;
  if w.id is null then
    return query select worker_fault(w, p_name), null::jsonb;
    return;
  end if;
  if w.state in ('stopping', 'stopped') and p_to <> 'stopping' then
    return query select jsonb_build_object('code', 'worker_state', 'worker', p_name, 'from', w.state, 'to', p_to), null::jsonb;
    return;
  end if;
  if w.state <> 'stopped' then
    update worker set
      state = case when p_to = 'stopping' and worker_is_stale(w, v_now) then 'stopped' else p_to end,
      shutdown_at = case when p_to = 'stopping' then coalesce(shutdown_at, v_now) end
     where id = w.id returning * into w;
  end if;
  return query select null::jsonb, worker_info(w, v_now);
end
$$
-- next
create or replace function {schema}.suspend_worker(name text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault((select fault from try_tell_worker(name, 'suspended')));
end
$$
-- next
create or replace function {schema}.resume_worker(name text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault((select fault from try_tell_worker(name, 'running')));
end
$$
-- next
create or replace function {schema}.shutdown_worker(name text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault((select fault from try_tell_worker(name, 'stopping')));
end
$$
-- next
/* Forgets workers that have stopped, and stale ones, whose last beat is this long ago. One that lives is there again at its next beat. */
create or replace function {schema}.purge_workers(older_than interval default '1 hour') returns setof text
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_now timestamptz := clock();
begin
  perform raise_fault(argument_fault('older_than', older_than >= '0' and isfinite(older_than)));
  return query
    delete from worker w where w.beat_at <= v_now - older_than and (w.state = 'stopped' or worker_is_stale(w, v_now)) returning w.name;
end
$$
