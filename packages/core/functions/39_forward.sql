/* What the subscriptions of a stream have not done with, but for one and expired ones: sets of transactions with ranges of ids, and events to be retried. */
create or replace function {schema}.forward_state(p_stream int, p_but int) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select coalesce(jsonb_agg(jsonb_build_object('name', s.name, 'settings', to_jsonb(s),
      'parts', (select coalesce(jsonb_agg(jsonb_build_object('txids', w.txids::text, 'from', w.from_id::text, 'to', w.to_id::text)), '[]') from waiting_parts(s) w where not isempty(w.txids)),
      'retries', array(select event::text from event_retry where subscription = s.id and due < 'infinity' order by event)) order by s.name), '[]')
    from subscription s where s.stream = p_stream and s.id <> p_but and s.expired_at is null
$$
-- next
/* What a forwarder copies beside the events: the transactions that they are of, and how far the other subscriptions are. Without p_batch only the latter. */
create or replace function {schema}.try_forward_source(p_stream text, p_subscription text, p_batch bigint, p_lease bigint) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  s subscription := subscription_of(p_stream, p_subscription);
  n batch;
  v_txids jsonb;
begin
  fault := coalesce(isolation_fault(), reading_fault(s, p_stream, p_subscription));
  if fault is null and p_batch is not null then
    n := held_batch(s.id, p_batch, p_lease);
    if n.id is null then
      fault := stale_batch_fault(p_stream, p_subscription, p_batch);
    elsif n.retried is not null then
      v_txids := (select jsonb_object_agg(event, txid::text) from event_retry where id = any (n.retried));
    else
      execute 'select jsonb_object_agg(id, txid::text) from ' || events_between(s.stream, '$2', '$3') into v_txids using n.txids, n.from_id, n.to_id;
    end if;
  end if;
  if fault is null then
    info := jsonb_build_object('source', installation_id() || ':' || p_stream || ':' || p_subscription, 'subscriptions', forward_state(s.stream, s.id),
      'txids', v_txids, 'range', n.txids::text, 'from', n.from_id::text, 'to', n.to_id::text,
      'place', concat_ws('/', n.root, n.slice, n.events, n.from_id, n.to_id));
  end if;
  return next;
end
$$
-- next
/* Whether a subscription of the source has not done with some event of a batch. */
create or replace function {schema}.forward_waits(b {schema}.forward_batch, p_subscriptions jsonb) returns boolean
language sql stable set search_path = {schema}, pg_temp as $$
  select exists (select from jsonb_array_elements(p_subscriptions) s, jsonb_array_elements(s->'parts') w where (w->>'txids')::int8multirange && b.txids)
      or exists (select from jsonb_array_elements(p_subscriptions) s, jsonb_array_elements_text(s->'retries') r where r::bigint between b.from_id and b.to_id)
$$
-- next
/* Notes a batch as copied, in the transaction that then copies it. verdict: new; copied, if it was; behind, if a later one was. */
create or replace function {schema}.try_forward(p_source text, p_batch jsonb, p_streams text[], p_subscriptions jsonb) returns table (fault jsonb, verdict text)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
#variable_conflict use_column
declare
  f forward_position;
  b forward_batch;
begin
  insert into forward_position (source, batch, place, at, subscriptions) values (p_source, 0, '', clock(), '[]') on conflict do nothing;
  select * into f from forward_position where source = p_source for update;
  verdict := case when p_batch is null or f.place = p_batch->>'place' then 'copied' when f.batch >= (p_batch->>'id')::bigint then 'behind' else 'new' end;
  if verdict = 'behind' then
    return next;
    return;
  end if;
  /* Else a crash might forget the copies after the source has finished the batch. */
  if current_setting('synchronous_commit') = 'off' then
    perform set_config('synchronous_commit', 'on', true);
  end if;
  if verdict = 'new' then
    select coalesce(fault, queue_fault(n, 'stream')) into fault from unnest(p_streams) n where (stream_of(n)).id is null limit 1;
    insert into forward_stream (source, stream) select p_source, (stream_of(n)).id from unnest(p_streams) n where fault is null on conflict do nothing;
    insert into forward_batch (source, batch, txid, txids, from_id, to_id)
      select p_source, (p_batch->>'id')::bigint, pg_current_xact_id()::text::bigint, (p_batch->>'range')::int8multirange, (p_batch->>'from')::bigint, (p_batch->>'to')::bigint where p_streams <> '{}';
  end if;
  update forward_position set batch = coalesce((p_batch->>'id')::bigint, batch), place = coalesce(p_batch->>'place', place), at = clock(), subscriptions = p_subscriptions where source = p_source;
  for b in select * from forward_batch where source = p_source order by batch loop
    exit when forward_waits(b, p_subscriptions);
    delete from forward_batch where source = p_source and batch = b.batch;
  end loop;
  return next;
end
$$
-- next
/* The sources whose subscriptions may still need copies of a segment. */
create or replace function {schema}.forward_holders(p_stream int, p_segment int) returns text[]
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  w record;
  v_holds boolean;
  v_names text[] := '{}';
begin
  for w in select f.source, min(b.txid) as txid from forward_stream f join forward_batch b on b.source = f.source where f.stream = p_stream group by f.source order by f.source loop
    execute format('select exists (select from only %I where txid >= $1)', event_table(p_stream) || '_' || p_segment) into v_holds using w.txid;
    if v_holds then
      v_names := v_names || w.source;
    end if;
  end loop;
  return v_names;
end
$$
-- next
/* Makes a copy a stream of its own: the subscriptions of the source come to be here, and each gets as retries the copies of what it had not done with there when
   the forwarder last told; then what is published from now on. One whose name is taken stays as it is. Nobody publishes meanwhile. */
create or replace function {schema}.try_promote_stream(p_stream text) returns table (fault jsonb, subscription text, created boolean, events bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  q queue := stream_of(p_stream);
  w record;
  s subscription;
begin
  fault := case when q.id is null or not hold_stream(q.id) then queue_fault(p_stream, 'stream') else coalesce(isolation_fault(), cluster_fault()) end;
  if fault is not null then
    return next;
    return;
  end if;
  perform pg_advisory_xact_lock_shared(lock_space('rotation'), q.id);
  perform from forward_position where source in (select source from forward_stream where stream = q.id) order by source for update;
  execute format('lock table %I in exclusive mode', event_table(q.id));
  for w in select x->>'name' as name, (array_agg(x->'settings'))[1] as settings, jsonb_agg(x || jsonb_build_object('source', p.source)) as parts
             from forward_stream f join forward_position p on p.source = f.source, jsonb_array_elements(p.subscriptions) x where f.stream = q.id group by 1 order by 1
  loop
    subscription := w.name;
    events := 0;
    insert into subscription (stream, name, created_at, lease, max_attempts, backoff, lag_limit, when_stuck)
      select q.id, w.name, clock(), lease, max_attempts, backoff, lag_limit, when_stuck from jsonb_populate_record(null::subscription, w.settings)
        on conflict (stream, name) do nothing returning * into s;
    created := s.id is not null;
    if created then
      perform set_position(s.id, l.seen, l.tick, l.sent) from start_of(q.id, '"latest"') l;
      events := take_copies(s, w.parts);
    end if;
    return next;
  end loop;
  delete from forward_stream where stream = q.id;
  delete from forward_batch b where not exists (select from forward_stream f where f.source = b.source);
end
$$
-- next
create or replace function {schema}.take_copies(s {schema}.subscription, p_parts jsonb) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_count bigint;
begin
  execute format('insert into event_retry (subscription, due, attempt, event, txid, at, type, key, data, headers, extra1, extra2, extra3, extra4)
    select $1, $2, 0, e.id, e.txid, e.at, e.type, e.key, e.data, e.headers, e.extra1, e.extra2, e.extra3, e.extra4
      from %I e, lateral (select e.headers->''sluice''->>''source'' as source, (e.headers->''sluice''->>''id'')::bigint as id, (e.headers->''sluice''->>''txid'')::bigint as txid offset 0) h
     where exists (select from jsonb_to_recordset($3) as p(source text, parts jsonb, retries jsonb) where p.source = h.source
                      and (exists (select from jsonb_to_recordset(p.parts) as w(txids int8multirange, "from" bigint, "to" bigint) where h.txid <@ w.txids and h.id between w."from" and w."to")
                        or p.retries ? h.id::text))
     order by e.id', event_table(s.stream)) using s.id, clock(), p_parts;
  get diagnostics v_count = row_count;
  return v_count;
end
$$
-- next
create or replace function {schema}.promote_stream(name text) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
  v_all bigint := 0;
begin
  for v in select * from try_promote_stream(name) loop
    perform raise_fault(v.fault);
    v_all := v_all + v.events;
  end loop;
  return v_all;
end
$$
