/* The oldest event, by its transaction, that a subscription has not done with; null where it has done with all. */
create or replace function {schema}.oldest_waiting(s {schema}.subscription) returns timestamptz
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_at timestamptz;
begin
  execute format('select min(at) from unnest($1) r, lateral (select at from %I where txid >= coalesce(lower(r), 0) and txid < coalesce(upper(r), 9223372036854775807) order by txid, id limit 1) e',
    event_table(s.stream)) into v_at using '{(,)}'::int8multirange - coalesce(done_up_to(s.id), '{}');
  return v_at;
end
$$
-- next
create or replace function {schema}.stream_bytes(p_stream int) returns bigint
language sql volatile set search_path = {schema}, pg_temp as $$
  select sum(pg_total_relation_size(own_relation(event_table(p_stream) || '_' || k)))::bigint from generate_series(0, 2) k
$$
-- next
/* What a subscription has not done with, counted up to a limit. */
create or replace function {schema}.count_waiting(s {schema}.subscription, p_limit int) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_count int;
begin
  execute format('select count(*) from (select from waiting_parts($1) w, unnest(w.txids) r,
      lateral (select from %I where txid >= coalesce(lower(r), 0) and txid < coalesce(upper(r), 9223372036854775807) and id between w.from_id and w.to_id limit $2) e limit $2) c',
    event_table(s.stream)) into v_count using s, p_limit;
  return v_count;
end
$$
-- next
/* How far a subscription is behind: age of the oldest event that it has not done with, events, exact where they are few, else with
   rolled-back ones, and bytes, in proportion. */
create or replace function {schema}.lag_of(s {schema}.subscription, p_now timestamptz, out age float8, out events bigint, out bytes bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_oldest timestamptz := oldest_waiting(s);
  b batch := newest_batch(s.id);
  v_published bigint := published(s.stream);
  v_stored bigint;
  v_counted int;
begin
  if v_oldest is null then
    age := 0;
    events := 0;
    bytes := 0;
    return;
  end if;
  age := greatest(epoch_ms_of(p_now - v_oldest), 0);
  v_counted := count_waiting(s, 10000);
  events := case when v_counted < 10000 then v_counted else greatest(v_counted, greatest(v_published - b.sent, 0)
    + coalesce((select sum(o.events) from batch o where o.subscription = s.id and o.id = any (open_batches(b)) and o.retried is null), 0)
    + coalesce((select sum(p.events) from slice p where p.subscription = s.id and p.root = b.rest_root and p.number >= b.rest), 0)) end;
  v_stored := greatest(v_published - (select g.sent from stream_segment g where g.stream = s.stream and g.generation >= (newest_segment(s.stream)).generation - 2 order by g.generation limit 1), events, 1);
  bytes := (stream_bytes(s.stream)::numeric * events / v_stored)::bigint;
end
$$
-- next
/* Whether it is behind by more than its limit, or its stream's, allows. */
create or replace function {schema}.beyond_limit(p_limit jsonb, p_age float8, p_events bigint, p_bytes bigint) returns boolean
language sql immutable as $$
  select coalesce(p_age > (p_limit->>'age')::float8, false) or coalesce(p_events > (p_limit->>'events')::float8, false) or coalesce(p_bytes > (p_limit->>'bytes')::float8, false)
$$
-- next
/* Looks for subscriptions that lag behind too far: those that block the rotation, and are told again and again, and those that
   expire now. Nothing that one of them lacks is gone before it has expired. Page by page, since each takes a dozen locks: a last row
   tells only after which one to go on. */
create or replace function {schema}.check_lags(p_after int default 0, p_limit int default 100)
returns table (stream text, subscription text, age float8, events bigint, bytes bigint, expired boolean, next int)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  v_now timestamptz := clock();
  w record;
  l record;
  v_last int := (select max(id) from (select id from subscription where id > p_after order by id limit p_limit) p having count(*) = p_limit);
begin
  for w in select s, q.name, coalesce(s.lag_limit, t.lag_limit) as lag_limit, coalesce(s.when_stuck, t.when_stuck) as what
             from subscription s join stream t on t.id = s.stream join queue q on q.id = t.id
            where s.id > p_after and s.id <= coalesce(v_last, 2147483647) and s.expired_at is null and cluster_fault() is null and (coalesce(s.lag_limit, t.lag_limit) is not null or s.stuck_at is not null) order by s.id
  loop
    continue when not hold_stream_if_free((w.s).stream);
    select * into l from lag_of(w.s, v_now);
    if coalesce(beyond_limit(w.lag_limit, l.age, l.events, l.bytes), false) or (w.s).stuck_at is not null then
      /* Maintenance does not wait for who is just changing it. One that was changed, or repositioned, meanwhile is looked at in the next round. */
      perform from subscription n where n.id = (w.s).id and n is not distinct from w.s for no key update skip locked;
      continue when not found;
      select * into l from lag_of(w.s, v_now);
    end if;
    if coalesce(beyond_limit(w.lag_limit, l.age, l.events, l.bytes), false) then
      update subscription set stuck_at = coalesce(stuck_at, v_now), expired_at = case when w.what = 'expire' then v_now end
       where id = (w.s).id and (stuck_at is null or w.what = 'expire');
      return query select w.name, (w.s).name, l.age, l.events, l.bytes, w.what = 'expire', null::int;
    elsif (w.s).stuck_at is not null then
      update subscription set stuck_at = null where id = (w.s).id;
    end if;
  end loop;
  return query select null::text, null::text, null::float8, null::bigint, null::bigint, null::boolean, v_last where v_last is not null;
end
$$
-- next
create or replace function {schema}.try_stream_info(p_stream text) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue := stream_of(p_stream);
  v_now timestamptz := clock();
  g stream_segment;
  v_ticks tick[];
  v_oldest tick;
begin
  if q.id is null or not hold_stream(q.id) then
    fault := queue_fault(p_stream, 'stream');
    return next;
    return;
  end if;
  g := newest_segment(q.id);
  v_ticks := array(select k from tick k where stream = q.id order by id desc limit 20);
  v_oldest := v_ticks[cardinality(v_ticks)];
  info := stream_info(q) || jsonb_build_object('published', published(q.id), 'eventsPerSecond', coalesce((v_ticks[1].sent - v_oldest.sent) / nullif(extract(epoch from v_ticks[1].at - v_oldest.at), 0), 0), 'newEvents', published(q.id) - coalesce(v_ticks[1].sent, 0),
    'lastTick', v_ticks[1].id::text, 'tickerLag', epoch_ms_of(v_now - v_ticks[1].at), 'segment', g.current, 'segmentSince', epoch_ms(g.at), 'bytes', stream_bytes(q.id),
    'subscriptions', (select count(*) from subscription where stream = q.id),
    'heldBy', (select to_jsonb(array(select distinct h from generate_series(1, 2) n, unnest(holders_of(q.id, ((g.current + n) % 3)::int)) h order by h))));
  return next;
end
$$
-- next
create or replace function {schema}.subscription_state(s {schema}.subscription, p_now timestamptz) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  b batch := newest_batch(s.id);
  l record;
begin
  select * into l from lag_of(s, p_now);
  return subscription_info(s) || jsonb_build_object('lag', l.age, 'pendingEvents', l.events, 'pendingBytes', l.bytes, 'lastTick', b.tick::text,
    'eventsPerSecond', coalesce((select sum(e.events) / nullif(extract(epoch from p_now - min(e.at)), 0) from (
       select events, at from batch_end where subscription = s.id and outcome = 'finished' and at > p_now - interval '1 minute' order by batch desc limit 1000) e), 0),
    'lastSeenAt', (select epoch_ms(greatest((select max(at) from (select at from batch where subscription = s.id and lease is not null order by id desc limit 20) o),
       (select max(at) from (select at from batch_end where subscription = s.id order by batch desc limit 20) e)))),
    'batches', coalesce((select jsonb_agg(batch_info(o, s.max_attempts, s.lease, p_now) || jsonb_build_object('leasedUntil', epoch_ms(nullif(coalesce(r.until, o.until), '-infinity')), 'owner', case when r.until is null or r.owner is not null then o.owner end) order by o.id)
       from batch o left join batch_lease r on r.subscription = o.subscription and r.batch = o.id where o.subscription = s.id and o.id = any (open_batches(b))), '[]'),
    'retries', (select count(*) from event_retry where subscription = s.id and due < 'infinity'),
    'dead', (select count(*) from event_retry where subscription = s.id and due = 'infinity'));
end
$$
-- next
create or replace function {schema}.try_list_subscriptions(p_stream text, p_name text) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue := stream_of(p_stream);
  s subscription;
begin
  if q.id is null or not hold_stream(q.id) or p_name is not null and (subscription_of(p_stream, p_name)).id is null then
    fault := subscription_fault(p_stream, p_name);
    return next;
    return;
  end if;
  for s in select * from subscription where stream = q.id and (p_name is null or name = p_name) order by name loop
    info := subscription_state(s, clock());
    return next;
  end loop;
end
$$
