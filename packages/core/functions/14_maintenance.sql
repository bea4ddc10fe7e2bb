/* The quick part of a round: sweeps the queues that have a floor and says which storages have a flip to begin or to carry on, and
   which streams a tick or a rotation that is due.
   One process at a time, and none before p_pause is over since the last round of any. With p_after, the next 200 queues are
   swept instead, floor or not; next: from where to go on, and the flips come with the last page. Nobody waits for a queue that is just being dropped. */
create or replace function {schema}.maintain(p_pause interval, p_after int, p_dead int, p_flip_pause interval) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  v_now bigint := extract(epoch from clock()) * 1000;
  v_last bigint;
  q queue;
  v_storage int := 2147483647;
  v_queue int := 0;
  v_found int := 0;
  v_swept int := 0;
  v_next int;
begin
  if isolation_fault() is not null then
    return jsonb_build_object('fault', isolation_fault());
  end if;
  select last_value into v_last from maintained;
  if v_now between v_last and v_last + extract(epoch from p_pause) * 1000 - 1 or not pg_try_advisory_xact_lock(lock_space('maintenance'), 0) then
    return '{"busy": true}';
  end if;
  perform set_config('synchronous_commit', 'off', true);
  perform setval('maintained', v_now);
  if p_after is not null then
    for q in select * from queue where id > p_after and kind = 'work' and dropped_at is null order by id limit 200 loop
      v_next := q.id;
      v_found := v_found + case when hold_if_free(q) then sweep(q) else 0 end;
      v_swept := v_swept + has_floor(q)::int;
    end loop;
  else
    loop
      /* From the newest row of one queue to the newest of the next: older ones may be dead rows that vacuum cannot remove. */
      select f.storage, f.queue into v_storage, v_queue from floor f where (f.storage, f.queue) < (v_storage, v_queue)
       order by f.storage desc, f.queue desc, f.priority desc, f.version desc limit 1;
      exit when not found;
      select * into q from queue where id = v_queue and dropped_at is null;
      if found and has_floor(q) and hold_if_free(q) then
        v_found := v_found + sweep(q);
        v_swept := v_swept + 1;
      end if;
    end loop;
  end if;
  return jsonb_build_object('busy', false, 'swept', v_swept, 'found', v_found, 'next', v_next, 'streams', case when v_next is null then due_streams() end, 'flips', (
    select coalesce(jsonb_agg(s.id order by s.id), '[]') from storage s
     where v_next is null and s.layout = 'ring' and flip_wanted(s.id, p_dead, p_flip_pause)));
end
$$
-- next
create or replace function {schema}.flip_wanted(p_storage int, p_dead int, p_pause interval) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  s segment;
begin
  select * into s from segment where storage = p_storage order by generation desc limit 1;
  return cardinality(s.live) > 1
      or pg_relation_size(own_relation(other_leaf(s))) > 0
      or flip_pays(s, p_dead, p_pause);
end
$$
-- next
/* Messages that a sender left in a queue dropped meanwhile, counters of dropped queues, notes of cancellations whose message is
   gone, and workers that are. */
create or replace function {schema}.clear_leftovers(p_limit int default 5000) returns int
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_count int;
begin
  delete from message where (queue, id) in (
    select m.queue, m.id from queue q, lateral (select queue, id from message where queue = q.id limit p_limit) m
     where q.dropped_at < clock() - interval '1 minute' limit p_limit);
  get diagnostics v_count = row_count;
  perform drop_counters();
  perform clear_cancellations();
  perform clear_keys();
  perform clear_results();
  perform clear_rates();
  perform regroup(q) from queue q where q.grouped_at > clock() - interval '1 day' and q.dropped_at is null and hold_if_free(q);
  delete from worker where beat_at < clock() - case state when 'stopped' then interval '1 hour' else greatest(interval '1 day', 3 * every) end;
  return v_count;
end
$$
-- next
/* The steps of the slow part of a round, for who drives it. */
create or replace function {schema}.due_partitions() returns jsonb
language sql volatile set search_path = {schema}, pg_temp as $$
  update storage s set seen = p.now, pace = greatest(p.now - s.seen, s.pace / 2)
    from partitioned() p where s.layout = 'id' and p.storage = s.id and not p.is_archive;
  select coalesce(jsonb_agg(jsonb_build_object('step', step, 'parent', parent, 'n', n)), '[]') from partition_steps()
$$
