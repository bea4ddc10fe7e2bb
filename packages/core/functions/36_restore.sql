/* What a subscription has not done with, as sets of transactions and ranges of ids. */
create or replace function {schema}.waiting_parts(s {schema}.subscription) returns table (txids int8multirange, from_id bigint, to_id bigint)
language sql stable set search_path = {schema}, pg_temp as $$
  select '{(,)}'::int8multirange - b.seen, 0, 9223372036854775807 from newest_batch(s.id) b
  union all
  select o.txids, o.from_id, o.to_id from newest_batch(s.id) b, batch o where o.subscription = s.id and o.id = any (open_batches(b)) and o.retried is null
  union all
  select p.txids, p.from_id, p.to_id from newest_batch(s.id) b, slice p where p.subscription = s.id and p.root = b.rest_root and p.number >= b.rest
$$
-- next
/* After the schema was restored into another cluster, whose transaction ids have nothing to do with those that are stored: what a subscription
   had not done with it gets as retries, each event once, and all positions begin anew. The events stay, as of this transaction.
   Expired ones get nothing: they go on from the earliest event, if at all. p_same_history: the ids hold, as after pg_upgrade; only the cluster is another. */
create or replace function {schema}.try_after_restore(p_same_history boolean) returns table (fault jsonb, streams int, events bigint)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  q queue;
  s subscription;
  v_count bigint;
  v_now timestamptz := clock();
begin
  streams := 0;
  events := 0;
  fault := isolation_fault();
  perform from installation for update;
  if fault is null and cluster_fault() is not null then
    for q in select * from queue where kind = 'stream' and dropped_at is null and not p_same_history order by id loop
      streams := streams + 1;
      execute format('lock table %I in access exclusive mode', event_table(q.id));
      for s in select * from subscription where stream = q.id and expired_at is null order by id loop
        execute format('insert into event_retry (subscription, due, attempt, event, txid, at, type, key, data, headers, extra1, extra2, extra3, extra4)
          select distinct on (e.id) $1, $2, 0, e.id, $3, e.at, e.type, e.key, e.data, e.headers, e.extra1, e.extra2, e.extra3, e.extra4
            from waiting_parts($4) w join %I e on e.txid <@ w.txids and e.id between w.from_id and w.to_id order by e.id', event_table(q.id))
          using s.id, v_now, pg_current_xact_id()::text::bigint, s;
        get diagnostics v_count = row_count;
        events := events + v_count;
      end loop;
      execute format('update %I set txid = $1', event_table(q.id)) using pg_current_xact_id()::text::bigint;
      delete from tick where stream = q.id;
      perform set_position(id, seen_now() + int8multirange(int8range(pg_current_xact_id()::text::bigint, pg_current_xact_id()::text::bigint, '[]')), 0, published(q.id))
         from subscription where stream = q.id order by id;
      perform make_tick(q.id, null, null);
    end loop;
    if not p_same_history then
      /* What was handed out after the dump had ids that others, such as targets of a forward, have seen. */
      update forward_batch set txid = pg_current_xact_id()::text::bigint;
      perform setval('batch_id', nextval('batch_id') + 1000000000000);
    end if;
    update installation set cluster = (select system_identifier::text from pg_control_system());
  end if;
  return next;
end
$$
-- next
create or replace function {schema}.after_restore(same_history boolean default false) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_after_restore(coalesce(same_history, false));
  perform raise_fault(v.fault);
  return v.events;
end
$$
