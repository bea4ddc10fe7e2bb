/* Those of its batches that are open. Looked up one by one: a join may read all ends there ever were. */
create or replace function {schema}.open_batches(b {schema}.batch) returns bigint[]
language sql stable set search_path = {schema}, pg_temp set enable_seqscan = off as $$
  select array(select o from unnest(b.open || case when b.lease is not null then array[b.id] else '{}' end) o
                where (select e.batch from batch_end e where e.subscription = b.subscription and e.batch = o) is null order by o)
$$
-- next
create or replace function {schema}.newest_batch(p_subscription int) returns {schema}.batch
language plpgsql stable set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_sort = off as $$
declare
  b batch;
begin
  select * into b from batch where subscription = p_subscription order by id desc limit 1;
  return b;
end
$$
-- next
/* What a subscription has done with: everything up to here may go. It holds what is open, and what is left of a window. */
create or replace function {schema}.done_up_to(p_subscription int) returns int8multirange
language sql stable set search_path = {schema}, pg_temp as $$
  select b.seen
      * coalesce((select base from slice where subscription = b.subscription and root = b.rest_root and number = b.rest), b.seen)
      * coalesce((select range_intersect_agg(base) from batch where subscription = b.subscription and id = any (open_batches(b))), b.seen)
    from newest_batch(p_subscription) b
$$
-- next
/* Where to begin: latest, earliest, {tick} or {time}, in epoch milliseconds; a time means the last tick before it. Null: there is no such tick. */
create or replace function {schema}.start_of(p_stream int, p_from jsonb, out seen int8multirange, out tick bigint, out sent bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  t tick;
begin
  if p_from = '"latest"' then
    select n.id into tick from tick n where n.stream = p_stream order by n.id desc limit 1;
    sent := published(p_stream);
    select seen_now() into seen;
    return;
  end if;
  if p_from ? 'tick' then
    select * into t from tick n where n.stream = p_stream and n.id = (p_from->>'tick')::bigint;
    if not found then
      return;
    end if;
  elsif p_from ? 'time' then
    select * into t from tick n where n.stream = p_stream and n.at <= to_timestamp((p_from->>'time')::float8 / 1000) order by n.id desc limit 1;
  end if;
  seen := coalesce(t.seen, '{}');
  tick := coalesce(t.id, 0);
  sent := coalesce(t.sent, (select s.sent from stream_segment s where s.stream = p_stream and s.generation >= (select max(generation) - 2 from stream_segment where stream = p_stream) order by s.generation limit 1), 0);
end
$$
-- next
/* A subscription begins, or goes on, here. What was open is nobody's any more; retries stay. */
create or replace function {schema}.set_position(p_subscription int, p_seen int8multirange, p_tick bigint, p_sent bigint) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_now timestamptz := clock();
  v_open bigint[] := open_batches(newest_batch(p_subscription));
begin
  /* Who is just finishing one comes first. */
  perform from batch where subscription = p_subscription and id = any (v_open) order by id for update;
  insert into batch_end (subscription, batch, outcome, at, events) select p_subscription, o, 'dropped', v_now, 0 from unnest(v_open) o on conflict do nothing;
  delete from slice where subscription = p_subscription;
  insert into batch (subscription, at, seen, tick, sent, open, base, events) values (p_subscription, v_now, p_seen, coalesce(p_tick, 0), p_sent, '{}', p_seen, 0);
end
$$
-- next
create or replace function {schema}.subscription_info(s {schema}.subscription) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('stream', (select name from queue where id = s.stream), 'name', s.name, 'createdAt', epoch_ms(s.created_at), 'lease', epoch_ms_of(s.lease),
    'maxAttempts', s.max_attempts, 'backoff', s.backoff, 'lagLimit', s.lag_limit, 'whenStuck', s.when_stuck,
    'stuckAt', epoch_ms(s.stuck_at), 'expiredAt', epoch_ms(s.expired_at))
$$
-- next
create or replace function {schema}.subscription_differences(s {schema}.subscription, p_options jsonb) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('code', 'options_differ', 'queue', s.name, 'kind', 'subscription', 'stream', (select name from queue where id = s.stream),
           'differences', jsonb_agg(jsonb_build_object('option', key, 'stored', stored, 'requested', value) order by key))
    from (select key, subscription_info(s)->key as stored,
                 case key when 'lease' then to_jsonb(epoch_ms_of((value #>> '{}')::interval)) when 'lagLimit' then coalesce(lag_wanted(value), 'null')
                          when 'backoff' then coalesce(backoff_wanted(value), 'null') else value end as value
            from jsonb_each(p_options)) o
   where stored is distinct from value
  having count(*) > 0
$$
-- next
/* Creates a subscription or finds it, which leaves it where it is. While it begins, no segment is emptied. */
create or replace function {schema}.try_create_subscription(p_stream text, p_name text, p_options jsonb, p_from jsonb, p_must_be_new boolean)
returns table (fault jsonb, created boolean, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  q queue := stream_of(p_stream);
  s subscription;
  w record;
begin
  if q.id is null or not hold_stream(q.id) or isolation_fault() is not null or cluster_fault() is not null then
    return query select case when q.id is null then queue_fault(p_stream, 'stream') else coalesce(isolation_fault(), cluster_fault(), queue_fault(p_stream, 'stream')) end, null::boolean, null::jsonb;
    return;
  end if;
  perform pg_advisory_xact_lock_shared(lock_space('rotation'), q.id);
  select * into w from start_of(q.id, p_from);
  if w.seen is null then
    return query select jsonb_build_object('code', 'tick_not_found', 'stream', p_stream, 'tick', p_from->'tick'), null::boolean, null::jsonb;
    return;
  end if;
  loop
    insert into subscription (stream, name, created_at) values (q.id, p_name, clock()) on conflict (stream, name) do nothing returning * into s;
    exit when found;
    select * into s from subscription where stream = q.id and name = p_name;
    if found then
      return query select case when p_must_be_new then jsonb_build_object('code', 'queue_already_exists', 'queue', p_name, 'kind', 'subscription')
        else subscription_differences(s, p_options) end, false, subscription_info(s);
      return;
    end if;
    /* It was dropped between the two statements. */
  end loop;
  perform set_subscription(s.id, p_options);
  perform set_position(s.id, w.seen, w.tick, w.sent);
  return query select null::jsonb, true, subscription_info(n) from subscription n where n.id = s.id;
end
$$
-- next
create or replace function {schema}.set_subscription(p_id int, p_patch jsonb) returns void
language sql volatile set search_path = {schema}, pg_temp as $$
  update subscription set
    lease = coalesce((p_patch->>'lease')::interval, lease),
    max_attempts = case when p_patch ? 'maxAttempts' then (p_patch->>'maxAttempts')::int else max_attempts end,
    backoff = case when p_patch ? 'backoff' then backoff_wanted(p_patch->'backoff') else backoff end,
    lag_limit = case when p_patch ? 'lagLimit' then lag_wanted(p_patch->'lagLimit') else lag_limit end,
    when_stuck = case when p_patch ? 'whenStuck' then p_patch->>'whenStuck' else when_stuck end
   where id = p_id
$$
-- next
create or replace function {schema}.try_update_subscription(p_stream text, p_name text, p_patch jsonb) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription := subscription_of(p_stream, p_name);
begin
  perform set_subscription(s.id, p_patch);
  info := (select subscription_info(n) from subscription n where n.id = s.id);
  fault := case when info is null then subscription_fault(p_stream, p_name) end;
  return next;
end
$$
-- next
/* A subscription as it is under its lock, which follows that of its stream. One that was dropped and made anew while the lock was waited
   for is another, with a lock of its own. */
create or replace function {schema}.lock_subscription(p_stream text, p_name text) returns {schema}.subscription
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription := subscription_of(p_stream, p_name);
  v_locked int;
begin
  while s.id is distinct from v_locked loop
    v_locked := s.id;
    perform hold_stream(s.stream), pg_advisory_xact_lock(lock_space('subscription'), s.id) where s.id is not null;
    s := subscription_of(p_stream, p_name);
  end loop;
  return s;
end
$$
-- next
/* Moves a subscription to another position, forth or back, as far as events are stored. One that has expired lives again. */
create or replace function {schema}.try_reposition(p_stream text, p_name text, p_from jsonb) returns table (fault jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription;
  w record;
begin
  if isolation_fault() is null then
    s := lock_subscription(p_stream, p_name);
  end if;
  if s.id is null or isolation_fault() is not null or cluster_fault() is not null then
    return query select coalesce(isolation_fault(), case when s.id is null then subscription_fault(p_stream, p_name) end, cluster_fault());
    return;
  end if;
  perform pg_advisory_xact_lock_shared(lock_space('rotation'), s.stream);
  select * into w from start_of(s.stream, p_from);
  if w.seen is null then
    return query select jsonb_build_object('code', 'tick_not_found', 'stream', p_stream, 'tick', p_from->'tick');
    return;
  end if;
  perform set_position(s.id, w.seen, w.tick, w.sent);
  update subscription set expired_at = null, stuck_at = null where id = s.id;
  return query select null::jsonb;
end
$$
-- next
create or replace function {schema}.forget_subscription(p_id int) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
begin
  perform pg_advisory_xact_lock(lock_space('subscription'), p_id);
  /* Who is just finishing a batch comes first. */
  perform from batch where subscription = p_id order by id for update;
  delete from subscription where id = p_id;
  delete from batch where subscription = p_id;
  delete from batch_end where subscription = p_id;
  delete from batch_lease where subscription = p_id;
  delete from slice where subscription = p_id;
  delete from event_retry where subscription = p_id;
end
$$
-- next
create or replace function {schema}.try_drop_subscription(p_stream text, p_name text) returns table (fault jsonb, existed boolean)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription := lock_subscription(p_stream, p_name);
begin
  perform forget_subscription(s.id) where s.id is not null;
  return query select case when s.id is null and stream_of(p_stream) is null then queue_fault(p_stream, 'stream') end, s.id is not null;
end
$$
