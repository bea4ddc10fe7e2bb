/* Events whose retry is due, at most so many; one that is suspected of killing its readers comes alone. Planned anew each time: what members
   hold is skipped by a hash only where it is a constant, else each row is compared with each that is held. */
create or replace function {schema}.due_retries(b {schema}.batch, p_open bigint[], p_max int, p_now timestamptz) returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off as $$
declare
  n batch := b;
  v_held bigint[] := array(select unnest(retried) from batch where subscription = b.subscription and id = any (p_open));
  v_alone int;
begin
  select array_agg(id order by due, id), array_position(array_agg(alone order by due, id), true) into n.retried, v_alone from (
    select id, due, alone from event_retry where subscription = b.subscription and due <= p_now and not id = any (v_held) order by due, id limit p_max) d;
  if n.retried is null then
    return null;
  elsif v_alone is not null then
    n.retried := n.retried[1:greatest(v_alone - 1, 1)];
  end if;
  n.base := b.seen;
  n.root := nextval('batch_id');
  n.slice := 1;
  n.txids := '{}';
  n.events := cardinality(n.retried);
  select min(event), max(event) into n.from_id, n.to_id from event_retry where id = any (n.retried);
  return n;
end
$$
-- next
/* A batch whose lease is over, with what it holds, for another reader: under a new id, so that its old holder finishes nothing. One
   that is locked is just being finished. Null where there is none. Of one that nobody finished time and again the events come one by one. */
create or replace function {schema}.take_over(s {schema}.subscription, b {schema}.batch, p_open bigint[], p_whole boolean, p_now timestamptz) returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  n batch := b;
  o batch;
  l batch_lease;
begin
  for o in select * from batch where subscription = b.subscription and id = any (p_open) order by id loop
    select * into l from batch_lease where subscription = o.subscription and batch = o.id;
    continue when coalesce(l.until, o.until) > p_now;
    perform from batch where subscription = o.subscription and id = o.id for update skip locked;
    /* It may have been finished before it was locked. */
    continue when not found or exists (select from batch_end where subscription = o.subscription and batch = o.id);
    insert into batch_end (subscription, batch, outcome, at, events) values (o.subscription, o.id, 'taken', p_now, 0);
    o.attempt := o.attempt - (l.until is not null and l.owner is null)::int;
    if o.attempt >= least(s.max_attempts - coalesce((select max(attempt) from event_retry where id = any (o.retried)), 0), 5) and not p_whole then
      perform set_apart(s, o, p_now);
      continue;
    end if;
    n.base := o.base;
    n.root := o.root;
    n.slice := o.slice;
    n.txids := o.txids;
    n.from_id := o.from_id;
    n.to_id := o.to_id;
    n.retried := o.retried;
    n.events := o.events;
    n.attempt := o.attempt;
    return n;
  end loop;
  return null;
end
$$
-- next
/* An event that kills who reads it must not stop the others: each comes alone, and the one that still nobody finishes is dead. */
create or replace function {schema}.set_apart(s {schema}.subscription, o {schema}.batch, p_now timestamptz) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform put_off(s, o, jsonb_agg(jsonb_build_object('id', e.id, 'delay', 0, 'alone', true, 'spared', o.events > 1)), p_now) from events_in_batch(s.stream, o, 0, 2147483647) e;
  delete from event_retry where id = any (o.retried);
end
$$
-- next
/* What there is to hand out: what another left, events to be retried, the rest of a window, the next window. Who shares a
   subscription gets a batch beside those that are held, if they are shared too; else one at a time is out. */
create or replace function {schema}.next_content(s {schema}.subscription, b {schema}.batch, p_shared boolean, p_whole boolean, p_max int, p_min int, p_max_wait interval, p_before timestamptz, p_now timestamptz)
returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  n batch;
  v_open bigint[] := open_batches(b);
begin
  if exists (select from batch o where o.subscription = s.id and o.id = any (v_open) and not (p_shared and o.shared)
      and leased_until(o) > p_now) then
    return null;
  end if;
  n := take_over(s, b, v_open, p_whole, p_now);
  b.attempt := 0;
  b.retried := null;
  /* Those that are just being finished are left, and held. */
  v_open := open_batches(b);
  if n.id is null and v_open <> '{}' and (not p_shared or exists (select from batch where subscription = s.id and id = any (v_open) and not shared)) then
    return null;
  end if;
  if n.id is null then
    n := due_retries(b, v_open, p_max, p_now);
  end if;
  if n.id is null and b.rest is not null then
    n := next_slice(b);
  end if;
  if n.id is null then
    n := open_window(s, b, p_max, p_min, p_max_wait, p_before, p_now);
  end if;
  n.open := open_batches(b);
  return n;
end
$$
-- next
/* Until when a batch is held: as it was handed out, renewed, or given back. */
create or replace function {schema}.leased_until(o {schema}.batch) returns timestamptz
language sql stable set search_path = {schema}, pg_temp as $$
  select coalesce((select l.until from batch_lease l where l.subscription = o.subscription and l.batch = o.id), o.until)
$$
-- next
/* The batch that this owner holds, under the lease that he has, since who asks again may be one who was killed by it, or the next one; null where there is none for him now. Under the lock of the subscription. */
create or replace function {schema}.hand_out(s {schema}.subscription, p_owner text, p_shared boolean, p_whole boolean, p_lease interval, p_max int, p_min int, p_max_wait interval, p_before timestamptz)
returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_now timestamptz := clock();
  b batch := newest_batch(s.id);
  n batch;
begin
  select o.* into n from batch o where o.subscription = s.id and o.id = any (open_batches(b)) and o.owner = p_owner and leased_until(o) > v_now order by o.id limit 1;
  if found then
    n.until := leased_until(n);
    return n;
  end if;
  n := next_content(s, b, p_shared, p_whole, p_max, p_min, p_max_wait, p_before, v_now);
  if n.id is null then
    return null;
  end if;
  n.id := nextval('batch_id');
  n.at := v_now;
  n.lease := new_lease();
  n.owner := p_owner;
  n.shared := p_shared;
  n.until := v_now + p_lease;
  n.attempt := n.attempt + 1;
  insert into batch values (n.*);
  return n;
end
$$
-- next
create or replace function {schema}.batch_info(n {schema}.batch, p_max_attempts int, p_lease interval, p_now timestamptz) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('id', n.id::text, 'lease', n.lease::text, 'root', n.root::text, 'slice', n.slice, 'count', n.events, 'attempt', n.attempt, 'maxAttempts', p_max_attempts,
    'retried', n.retried is not null, 'openedAt', epoch_ms(n.at), 'leaseFor', epoch_ms_of(p_lease), 'left', epoch_ms_of(n.until - p_now), 'leasedUntil', epoch_ms(n.until), 'owner', n.owner)
$$
-- next
/* Not before a third of it is over, so that asking again and again leaves no dead rows. */
create or replace function {schema}.renew(n {schema}.batch, p_now timestamptz, p_lease interval) returns void
language sql volatile set search_path = {schema}, pg_temp as $$
  insert into batch_lease as l (subscription, batch, until, owner)
  select n.subscription, n.id, p_now + p_lease, n.owner where n.until < p_now + p_lease * 2 / 3
      on conflict (subscription, batch) do update set until = excluded.until where l.owner is not null and l.until < p_now + p_lease * 2 / 3
$$
-- next
/* Opens a batch, or answers the one that is open, with its first events: a row for the batch and one for each of them. In a transaction of
   its own, of READ COMMITTED; without p_durable a crash may forget it, which its lease makes harmless. */
create or replace function {schema}.try_next_batch(
  p_stream text, p_subscription text, p_owner text, p_shared boolean, p_lease interval, p_max int, p_min int, p_max_wait interval, p_min_lag interval, p_durable boolean, p_chunk int)
returns table (fault jsonb, batch jsonb, id bigint, at timestamptz, type text, key text, data jsonb, headers jsonb, extra1 text, extra2 text, extra3 text, extra4 text, attempt int)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription;
  n batch;
begin
  fault := isolation_fault();
  if fault is null then
    s := lock_subscription(p_stream, p_subscription);
    fault := reading_fault(s, p_stream, p_subscription);
  end if;
  if fault is not null then
    return next;
    return;
  end if;
  if not p_durable then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  if p_min_lag > '0' then
    perform tick_for_lag(s.stream, p_min_lag);
  end if;
  n := hand_out(s, p_owner, p_shared, p_durable, coalesce(p_lease, s.lease), p_max, p_min, p_max_wait, case when p_min_lag > '0' then clock() - p_min_lag end);
  if n.id is not null then
    batch := batch_info(n, s.max_attempts, coalesce(p_lease, s.lease), clock());
    return next;
    return query select null::jsonb, null::jsonb, e.* from events_in_batch(s.stream, n, 0, p_chunk) e;
  end if;
end
$$
-- next
/* Why there is nothing to be read; else the stream stays while the transaction lives. */
create or replace function {schema}.reading_fault(s {schema}.subscription, p_stream text, p_subscription text) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  if s.id is null then
    return subscription_fault(p_stream, p_subscription);
  elsif s.expired_at is not null then
    return jsonb_build_object('code', 'subscription_expired', 'stream', p_stream, 'subscription', p_subscription, 'at', epoch_ms(s.expired_at));
  elsif not hold_stream(s.stream) then
    return queue_fault(p_stream, 'stream');
  end if;
  return cluster_fault();
end
$$
-- next
/* The events of a batch in order of id, after one, at most so many. */
create or replace function {schema}.events_in_batch(p_stream int, n {schema}.batch, p_after bigint, p_limit int)
returns table (id bigint, at timestamptz, type text, key text, data jsonb, headers jsonb, extra1 text, extra2 text, extra3 text, extra4 text, attempt int)
language plpgsql volatile set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
begin
  if n.retried is not null then
    return query select r.event, r.at, r.type, r.key, r.data, r.headers, r.extra1, r.extra2, r.extra3, r.extra4, r.attempt + n.attempt
      from event_retry r where r.id = any (n.retried) and r.event > p_after order by r.event limit p_limit;
  else
    return query execute 'select id, at, type, key, data, headers, extra1, extra2, extra3, extra4, $5 from ' || events_between(p_stream, 'greatest($2 + 1, $3)', '$4')
        || ' order by id limit $6'
      using n.txids, p_after, n.from_id, n.to_id, n.attempt, p_limit;
  end if;
end
$$
-- next
create or replace function {schema}.stale_batch_fault(p_stream text, p_subscription text, p_batch bigint) returns jsonb
language sql immutable as $$ select jsonb_build_object('code', 'stale_batch', 'stream', p_stream, 'subscription', p_subscription, 'batch', p_batch::text) $$
-- next
/* The batch, if it is open under this lease. */
create or replace function {schema}.held_batch(p_subscription int, p_batch bigint, p_lease bigint) returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  n batch;
begin
  select * into n from batch b where b.subscription = p_subscription and b.id = p_batch and b.lease = p_lease
     and not exists (select from batch_end e where e.subscription = p_subscription and e.batch = p_batch)
     and not exists (select from batch_lease l where l.subscription = p_subscription and l.batch = p_batch and l.owner is null);
  return n;
end
$$
-- next
/* The same, and nobody can take it while the transaction lives. */
create or replace function {schema}.hold_batch(p_subscription int, p_batch bigint, p_lease bigint) returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
begin
  perform from batch where subscription = p_subscription and id = p_batch and lease = p_lease for update;
  /* In a statement of its own: it may have ended while the lock was waited for. */
  return held_batch(p_subscription, p_batch, p_lease);
end
$$
-- next
/* Keeps a batch for the transaction that handles it. */
create or replace function {schema}.try_lock_batch(p_stream text, p_subscription text, p_batch bigint, p_lease bigint) returns table (fault jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription := subscription_of(p_stream, p_subscription);
  v_fault jsonb := reading_fault(s, p_stream, p_subscription);
begin
  return query select coalesce(v_fault, case when (hold_batch(s.id, p_batch, p_lease)).id is null then stale_batch_fault(p_stream, p_subscription, p_batch) end);
end
$$
-- next
/* More events of an open batch. Not under an older snapshot, which would miss some. */
create or replace function {schema}.try_batch_events(p_stream text, p_subscription text, p_batch bigint, p_lease bigint, p_after bigint, p_limit int)
returns table (fault jsonb, id bigint, at timestamptz, type text, key text, data jsonb, headers jsonb, extra1 text, extra2 text, extra3 text, extra4 text, attempt int)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription := subscription_of(p_stream, p_subscription);
  n batch;
begin
  fault := coalesce(isolation_fault(), reading_fault(s, p_stream, p_subscription));
  n := held_batch(s.id, p_batch, p_lease);
  fault := coalesce(fault, case when n.id is null then stale_batch_fault(p_stream, p_subscription, p_batch) end);
  if fault is not null then
    return next;
    return;
  end if;
  return query select null::jsonb, e.* from events_in_batch(s.stream, n, p_after, p_limit) e;
end
$$
-- next
/* Renews the lease of a batch, or gives it back with p_for null: then the next reader gets it, its attempt not charged. held:
   whether it is still this holder's. */
create or replace function {schema}.try_renew_batch(p_stream text, p_subscription text, p_batch bigint, p_lease bigint, p_for interval) returns table (fault jsonb, held boolean)
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  s subscription := subscription_of(p_stream, p_subscription);
  n batch;
begin
  fault := reading_fault(s, p_stream, p_subscription);
  n := held_batch(s.id, p_batch, p_lease);
  held := n.id is not null;
  if fault is null and held and p_for is not null then
    perform renew(n, clock(), p_for);
  elsif fault is null and held then
    insert into batch_lease as l (subscription, batch, until, owner) values (s.id, p_batch, '-infinity', null)
        on conflict (subscription, batch) do update set until = '-infinity', owner = null;
  end if;
  return next;
end
$$
-- next
/* For who begins to read: what is not there. */
create or replace function {schema}.reading_probe(p_stream text, p_subscription text) returns jsonb
language sql volatile set search_path = {schema}, pg_temp as $$
  select reading_fault(subscription_of(p_stream, p_subscription), p_stream, p_subscription)
$$
