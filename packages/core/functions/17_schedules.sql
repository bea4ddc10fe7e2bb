/* Times travel as milliseconds, and are compared as such. */
create or replace function {schema}.epoch_ms(p_at timestamptz) returns float8
language sql immutable as $$ select round(extract(epoch from p_at) * 1000)::float8 $$
-- next
create or replace function {schema}.schedule_fault(p_name text) returns jsonb
language sql immutable as $$ select jsonb_build_object('code', 'schedule_not_found', 'schedule', p_name) $$
-- next
/* All that runs are computed from. */
create or replace function {schema}.schedule_timing(s {schema}.schedule) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('cron', s.cron, 'timezone', s.timezone, 'every', s.every, 'anchor', epoch_ms(s.anchor),
    'start', epoch_ms(s.starts_at), 'end', epoch_ms(s.ends_at))
$$
-- next
create or replace function {schema}.schedule_info(s {schema}.schedule) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select schedule_timing(s) || jsonb_build_object(
    'name', s.name, 'queue', (select name from queue where id = s.queue), 'missed', s.missed, 'priority', s.priority,
    'headers', coalesce(s.headers, '{}'), 'payload', s.payload, 'paused', s.paused, 'createdAt', epoch_ms(s.created_at),
    'nextAt', epoch_ms(s.next_at), 'lastAt', epoch_ms(s.last_at), 'error', s.error, 'failedAt', epoch_ms(s.failed_at))
$$
-- next
/* The schedule as it is asked for, with what an earlier one of that name keeps. */
create or replace function {schema}.schedule_wanted(s {schema}.schedule, p_name text, q {schema}.queue, p_spec jsonb, p_now timestamptz)
returns {schema}.schedule
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  w schedule := s;
begin
  w.name := p_name;
  w.queue := q.id;
  w.cron := p_spec->>'cron';
  w.timezone := p_spec->>'timezone';
  w.every := (p_spec->>'every')::bigint;
  w.starts_at := to_timestamp((p_spec->>'start')::float8 / 1000);
  w.ends_at := to_timestamp((p_spec->>'end')::float8 / 1000);
  w.missed := p_spec->>'missed';
  w.priority := (p_spec->>'priority')::smallint;
  w.headers := nullif(p_spec->'headers', 'null');
  w.payload := p_spec->'payload';
  w.created_at := coalesce(s.created_at, p_now);
  w.paused := coalesce(s.paused, false);
  if s.name is null or (w.cron, w.timezone, w.every, w.starts_at) is distinct from (s.cron, s.timezone, s.every, s.starts_at) then
    w.anchor := coalesce(w.starts_at, p_now);
  end if;
  return w;
end
$$
-- next
/* Makes a schedule or changes it in place. Where the next run has to be planned, which takes a parser of cron, the answer is a
   plan to make: the client calls again with p_from, which was the time, and the run it found. An unchanged timing keeps its next run. */
create or replace function {schema}.try_upsert_schedule(p_name text, p_spec jsonb, p_from float8, p_next float8)
returns table (fault jsonb, info jsonb, plan jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue;
  s schedule;
  w schedule;
  v_now timestamptz := clock();
  v_from float8;
begin
  select * into q from queue where name = p_spec->>'queue' and dropped_at is null for key share;
  if q.kind is distinct from 'work' or (p_spec->>'priority')::int >= q.levels then
    return query select case when q.kind is distinct from 'work' then queue_fault(p_spec->>'queue', 'work')
      else priority_fault(q, (p_spec->>'priority')::int, null) end, null::jsonb, null::jsonb;
    return;
  end if;
  select * into s from schedule where name = p_name;
  /* Every process says this as it starts: nothing is locked or written where nothing changes. */
  if s.name is not null and s is not distinct from schedule_wanted(s, p_name, q, p_spec, v_now) then
    return query select null::jsonb, schedule_info(s), null::jsonb;
    return;
  end if;
  loop
    select * into s from schedule where name = p_name for update;
    w := schedule_wanted(s, p_name, q, p_spec, coalesce(to_timestamp(p_from / 1000), v_now));
    if s.name is null or not s.paused and schedule_timing(w) || '{"anchor": 0}' <> schedule_timing(s) || '{"anchor": 0}' then
      /* Also where a run went out since: the plan could be that run once more. */
      if p_from is null or p_from < epoch_ms(s.last_at) then
        v_from := greatest(epoch_ms(v_now), epoch_ms(s.last_at));
        w := schedule_wanted(s, p_name, q, p_spec, to_timestamp(v_from / 1000));
        return query select null::jsonb, null::jsonb, schedule_timing(w) || jsonb_build_object('from', v_from);
        return;
      end if;
      w.next_at := to_timestamp(p_next / 1000);
      w.wake_at := w.next_at;
    end if;
    if s.name is not null then
      exit;
    end if;
    insert into schedule select w.* on conflict do nothing;
    if found then
      return query select null::jsonb, schedule_info(w), null::jsonb;
      return;
    end if;
    /* Another process made it meanwhile, and may have sent its first run. */
  end loop;
  update schedule set queue = w.queue, cron = w.cron, timezone = w.timezone, every = w.every, anchor = w.anchor, starts_at = w.starts_at, ends_at = w.ends_at,
    missed = w.missed, priority = w.priority, headers = w.headers, payload = w.payload, next_at = w.next_at, wake_at = w.wake_at
   where name = p_name;
  return query select null::jsonb, schedule_info(w), null::jsonb;
end
$$
-- next
/* now: for a preview of runs to come. */
create or replace function {schema}.try_get_schedule(p_name text) returns table (fault jsonb, info jsonb, now float8)
language sql volatile set search_path = {schema}, pg_temp as $$
  select case when s.name is null then schedule_fault(p_name) end, schedule_info(s), epoch_ms(clock())
    from (select 1) one left join schedule s on s.name = p_name
$$
-- next
create or replace function {schema}.list_schedules(p_prefix text, p_after text, p_limit int) returns setof jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select schedule_info(s) from schedule s
   where (p_prefix is null or starts_with(s.name, p_prefix)) and (p_after is null or s.name > p_after)
   order by s.name limit p_limit
$$
-- next
create or replace function {schema}.try_pause_schedule(p_name text) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s schedule;
begin
  update schedule set paused = true, next_at = null, wake_at = null where name = p_name and not paused;
  select * into s from schedule where name = p_name;
  return query select case when s.name is null then schedule_fault(p_name) end, schedule_info(s);
end
$$
-- next
/* Asks for a plan as try_upsert_schedule does. */
create or replace function {schema}.try_resume_schedule(p_name text, p_from float8, p_next float8) returns table (fault jsonb, info jsonb, plan jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s schedule;
begin
  select * into s from schedule where name = p_name for update;
  if s.name is null or not s.paused then
    return query select case when s.name is null then schedule_fault(p_name) end, schedule_info(s), null::jsonb;
  elsif p_from is null or p_from < epoch_ms(s.last_at) then
    return query select null::jsonb, null::jsonb, schedule_timing(s) || jsonb_build_object('from', greatest(epoch_ms(clock()), epoch_ms(s.last_at)));
  else
    update schedule set paused = false, next_at = to_timestamp(p_next / 1000), wake_at = to_timestamp(p_next / 1000) where name = p_name returning * into s;
    return query select null::jsonb, schedule_info(s), null::jsonb;
  end if;
end
$$
-- next
create or replace function {schema}.try_remove_schedule(p_name text) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  delete from schedule where name = p_name;
  return found;
end
$$
-- next
/* The message of one run. */
create or replace function {schema}.send_run(s {schema}.schedule, p_at timestamptz, out fault jsonb, out id bigint, out queue text)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  select q.name into queue from queue q where q.id = s.queue and q.dropped_at is null;
  select t.fault, t.id into fault, id from try_send(queue, s.payload, coalesce(s.headers, '{}') || jsonb_build_object(
    'schedule', s.name, 'scheduledFor', to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')), null, null, s.priority) t;
end
$$
-- next
/* At once, and besides what is planned. */
create or replace function {schema}.try_run_schedule(p_name text) returns table (fault jsonb, id bigint, queue text)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s schedule;
begin
  select * into s from schedule where name = p_name;
  if s.name is null then
    return query select schedule_fault(p_name), null::bigint, null::text;
  else
    return query select * from send_run(s, clock());
  end if;
end
$$
-- next
/* The schedules to look at, the longest waiting first, and how long until the next one. Beyond p_from only: rows that runs left
   dead lie below, where vacuum may not get at them for hours. */
create or replace function {schema}.due_schedules(p_from float8, p_limit int) returns jsonb
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_now timestamptz := clock();
  v_from timestamptz := coalesce(to_timestamp(p_from / 1000), '-infinity');
begin
  return jsonb_build_object(
    'now', epoch_ms(v_now),
    'wait', (select epoch_ms(wake_at) - epoch_ms(v_now) from schedule where wake_at > v_now order by wake_at limit 1),
    'due', (select coalesce(jsonb_agg(schedule_timing(d) || jsonb_build_object(
                     'name', d.name, 'missed', d.missed, 'next', epoch_ms(d.next_at), 'bytes', pg_column_size(d.payload)) order by d.wake_at), '[]')
              from (select * from schedule where wake_at > v_from and wake_at <= v_now order by wake_at limit p_limit) d));
end
$$
-- next
/* Sends the runs of p_times and plans the next one, all or nothing, for the one caller that finds the schedule where it was
   when he planned: p_due. What cannot be sent now, or p_error says that it could not, stays due, and no other schedule waits for it. */
create or replace function {schema}.fire_schedule(p_name text, p_due float8, p_times float8[], p_next float8, p_error text) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s schedule;
  v_now timestamptz := clock();
  v_time float8;
  v_queue text;
  v_fault jsonb;
begin
  if isolation_fault() is not null then
    return jsonb_build_object('fault', isolation_fault());
  end if;
  select * into s from schedule where name = p_name for update skip locked;
  if epoch_ms(s.next_at) is distinct from p_due or epoch_ms(v_now) < any (p_times || p_due) or p_due > any (p_times) or p_next <= any (p_times || p_due) then
    return '{"did": "lost"}';
  end if;
  begin
    if p_error is not null then
      raise exception using message = p_error;
    end if;
    foreach v_time in array p_times loop
      select fault, queue into v_fault, v_queue from send_run(s, to_timestamp(v_time / 1000));
      perform raise_fault(v_fault);
    end loop;
  exception when others then
    update schedule set error = sqlerrm, failed_at = v_now, wake_at = v_now + interval '10 seconds' where name = p_name;
    return jsonb_build_object('did', 'failed');
  end;
  update schedule set
    next_at = to_timestamp(p_next / 1000),
    wake_at = case when p_next is not null then greatest(to_timestamp(p_next / 1000), v_now) end,
    last_at = coalesce(to_timestamp(p_times[cardinality(p_times)] / 1000), last_at),
    error = case when p_times = '{}' then error end,
    failed_at = case when p_times = '{}' then failed_at end
   where name = p_name;
  return jsonb_build_object('did', 'fired', 'queue', v_queue);
end
$$
