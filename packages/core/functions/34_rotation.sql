create or replace function {schema}.newest_segment(p_stream int) returns {schema}.stream_segment
language sql stable set search_path = {schema}, pg_temp set enable_seqscan = off set enable_sort = off as $$
  select g from stream_segment g where stream = p_stream order by generation desc limit 1
$$
-- next
/* Whether there is something to be emptied, or the current segment has lasted long enough. */
create or replace function {schema}.rotation_is_due(t {schema}.stream, p_now timestamptz) returns boolean
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  g stream_segment := newest_segment(t.id);
begin
  return exists (select from unnest(array[0, 1, 2]) k where k <> g.current and pg_relation_size(own_relation(event_table(t.id) || '_' || k)) > 0)
      or not p_now between g.at and g.at + t.rotation_period and pg_relation_size(own_relation(event_table(t.id) || '_' || g.current)) > 0;
end
$$
-- next
/* The streams that maintenance has something to do for: a tick, a segment to be emptied or changed. */
create or replace function {schema}.due_streams() returns jsonb
language sql volatile set search_path = {schema}, pg_temp as $$
  select coalesce(jsonb_agg(jsonb_build_object('stream', name, 'tick', tick, 'rotate', rotate) order by id) filter (where tick or rotate), '[]')
    from (select f.id, f.name, tick_is_due(f.t, f.now) as tick, rotation_is_due(f.t, f.now) as rotate
            from (select t.id, q.name, t, clock() as now from stream t join queue q on q.id = t.id where q.dropped_at is null and hold_stream_if_free(t.id) offset 0) f) d
$$
-- next
/* The subscriptions that have not done with some event of a segment, and sources that it has copies of. Expired ones hold nothing. */
create or replace function {schema}.holders_of(p_stream int, p_segment int) returns text[]
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  s subscription;
  v_holds boolean;
  v_names text[] := '{}';
begin
  for s in select * from subscription where stream = p_stream and expired_at is null order by name loop
    execute format('select exists (select from unnest($1) r, lateral (select from only %I where txid >= coalesce(lower(r), 0) and txid < coalesce(upper(r), 9223372036854775807) limit 1) e)',
      event_table(p_stream) || '_' || p_segment) into v_holds using '{(,)}'::int8multirange - coalesce(done_up_to(s.id), '{}');
    if v_holds then
      v_names := v_names || s.name;
    end if;
  end loop;
  return v_names || forward_holders(p_stream, p_segment);
end
$$
-- next
/* Empties a segment that nobody needs any more. The lock waits for every transaction that may still write there, and what counts is seen
   under it: exact, whatever snapshots the writers had. Asks for it for 50 ms at most: meanwhile everybody queues behind. */
create or replace function {schema}.empty_segment(t {schema}.stream, p_segment int) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set lock_timeout = '50ms' as $$
declare
  v_leaf text := event_table(t.id) || '_' || p_segment;
  v_left timestamptz := (select min(n.at) from stream_segment n where n.stream = t.id
    and n.generation > (select max(generation) from stream_segment where stream = t.id and current = p_segment));
  v_holders text[];
begin
  if v_left > clock() - t.retention then
    return '{"did": "kept"}';
  end if;
  v_holders := holders_of(t.id, p_segment);
  if v_holders = '{}' then
    begin
      execute format('lock table only %I in access exclusive mode', v_leaf);
    exception when lock_not_available then
      return '{"did": "refused"}';
    end;
    v_holders := holders_of(t.id, p_segment);
  end if;
  if v_holders <> '{}' then
    return jsonb_build_object('did', 'held', 'by', v_holders);
  end if;
  execute format('truncate only %I', v_leaf);
  return '{"did": "truncated"}';
end
$$
-- next
/* One step of a rotation: a segment is emptied, or else the next one becomes current, which must be empty. An error of the lock is an
   answer: it is tried again. */
create or replace function {schema}.rotate_step(p_stream text) returns table (fault jsonb, did text, holders text[])
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue := stream_of(p_stream);
  t stream;
  g stream_segment;
  v_step jsonb;
begin
  fault := case when q.id is null or not hold_stream(q.id) then queue_fault(p_stream, 'stream') else coalesce(isolation_fault(), cluster_fault()) end;
  did := 'nothing';
  if fault is not null or not pg_try_advisory_xact_lock(lock_space('rotation'), q.id) then
    return next;
    return;
  end if;
  select * into t from stream where id = q.id;
  g := newest_segment(q.id);
  for k in 1 .. 2 loop
    continue when pg_relation_size(own_relation(event_table(q.id) || '_' || (g.current + k) % 3)) = 0;
    v_step := empty_segment(t, (g.current + k) % 3);
    did := v_step->>'did';
    holders := array(select jsonb_array_elements_text(v_step->'by'));
    exit when did <> 'nothing';
  end loop;
  if not clock() between g.at and g.at + t.rotation_period and pg_relation_size(own_relation(event_table(q.id) || '_' || g.current)) > 0
     and pg_relation_size(own_relation(event_table(q.id) || '_' || (g.current + 1) % 3)) = 0 then
    insert into stream_segment (stream, generation, current, at, sent) values (q.id, g.generation + 1, (g.current + 1) % 3, clock(), published(q.id));
    perform forget_ticks(q.id);
    did := 'rotated';
  end if;
  return next;
end
$$
-- next
/* Ticks of events that are gone. The newest 20 stay, for rates, and for who registers at one. */
create or replace function {schema}.forget_ticks(p_stream int) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  v_oldest bigint := (select min(sent) from (select sent from stream_segment where stream = p_stream order by generation desc limit 3) g);
begin
  delete from tick where stream = p_stream and sent < v_oldest and id < (select min(id) from (select id from tick where stream = p_stream order by id desc limit 20) k)
    and id < (select max(id) from tick where stream = p_stream and sent < v_oldest);
  delete from stream_segment where stream = p_stream and generation < (select max(generation) - 10 from stream_segment where stream = p_stream);
end
$$
-- next
/* Ended batches are told for as long as they are few: their rows are insert-only, and deleted in bulk. */
create or replace function {schema}.clear_batches(p_most int default 10000) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  s subscription;
  b batch;
  v_below bigint;
  v_all int := 0;
begin
  for s in select * from subscription order by id loop
    b := newest_batch(s.id);
    /* Of those that b names as open too: without its end one would be open again. */
    v_below := least(b.id, (select min(o) from unnest(b.open) o));
    continue when not exists (select from batch where subscription = s.id and id < v_below order by id desc offset p_most);
    v_below := least(v_below, (select id from batch where subscription = s.id and id < v_below order by id desc offset 100 limit 1));
    /* In the order of who drops it. */
    with gone as (delete from batch where subscription = s.id and id < v_below returning 1)
    select v_all + count(*) into v_all from gone;
    delete from batch_end where subscription = s.id and batch < v_below;
    delete from batch_lease where subscription = s.id and batch < v_below;
    delete from slice where subscription = s.id and root is distinct from b.rest_root and root < v_below;
  end loop;
  /* Renewed while their subscription was just being dropped. */
  delete from batch_lease l where not exists (select from subscription o where o.id = l.subscription);
  return v_all;
end
$$
