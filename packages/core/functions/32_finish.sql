/* What is to be retried of a batch, or is dead: p_what tells of events {id, delay, error, dead}, the delay in milliseconds. Copies keep
   id and time, and only this subscription gets them. Of two words on one event the last counts; one that the batch does not hold
   is an error. The answer has the ids that are dead by now. */
create or replace function {schema}.put_off(s {schema}.subscription, n {schema}.batch, p_what jsonb, p_now timestamptz) returns bigint[]
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  v_dead bigint[];
  v_all boolean;
begin
  execute 'with wanted as materialized (
      select distinct on (event) event, w from (select (w->>''id'')::bigint as event, w, place from jsonb_array_elements($8) with ordinality t(w, place)) d order by event, place desc),
    o as materialized (
      select id, txid, at, type, key, data, headers, extra1, extra2, extra3, extra4, 0 as attempt, null::jsonb as errors, false as alone from ' || events_between(s.stream, '$2', '$3', 'i.id = any (array(select event from wanted))') || '
      union all
      select event, txid, at, type, key, data, headers, extra1, extra2, extra3, extra4, attempt, errors, alone from event_retry where id = any ($4)),
    put as (
      insert into event_retry (subscription, due, attempt, alone, died_at, errors, event, txid, at, type, key, data, headers, extra1, extra2, extra3, extra4)
      select $5, d.due, case when w @> ''{"spared": true}'' then least(o.attempt + $6, ($9).max_attempts - 1) else o.attempt + $6 end, o.alone or w ? ''alone'', case when d.due = ''infinity'' then $7 end, with_error(o.errors, w->''error'', o.attempt + $6, $7),
             o.id, o.txid, o.at, o.type, o.key, o.data, o.headers, o.extra1, o.extra2, o.extra3, o.extra4
        from wanted join o on o.id = wanted.event, lateral (select retry_due($9, w, o.attempt + $6, $7) as due offset 0) d
       order by o.id returning event, due)
    select array_agg(event) filter (where due = ''infinity''), count(distinct event) = (select count(*) from wanted) from put'
    into v_dead, v_all using n.txids, n.from_id, n.to_id, n.retried, s.id, n.attempt, p_now, p_what, s;
  perform raise_fault(argument_fault('retries', v_all));
  return v_dead;
end
$$
-- next
/* When an event comes again; never where it is dead: by order, or since that was its last attempt. Spared is one of which it is not known
   whether it or another of its batch is to blame. */
create or replace function {schema}.retry_due(s {schema}.subscription, p_what jsonb, p_attempt int, p_now timestamptz) returns timestamptz
language sql volatile set search_path = {schema}, pg_temp as $$
  select case when p_what @> '{"dead": true}' or p_attempt >= s.max_attempts and not p_what @> '{"spared": true}' then 'infinity'
    else p_now + coalesce((p_what->>'delay')::float8 * interval '1 millisecond', backoff_delay(s.backoff, p_attempt)) end
$$
-- next
/* Ends a batch in the caller's transaction, any isolation level, with what is to be retried of it. Of two who finish one, or finish and
   take it over, one is first. dead: the ids of events that will not come again. */
create or replace function {schema}.try_finish_batch(p_stream text, p_subscription text, p_batch bigint, p_lease bigint, p_what jsonb) returns table (fault jsonb, dead bigint[])
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
#variable_conflict use_column
declare
  s subscription := subscription_of(p_stream, p_subscription);
  v_fault jsonb := reading_fault(s, p_stream, p_subscription);
  v_now timestamptz := clock();
  n batch;
  v_dead bigint[];
begin
  if v_fault is null then
    n := hold_batch(s.id, p_batch, p_lease);
    insert into batch_end (subscription, batch, outcome, at, events) select s.id, n.id, 'finished', v_now, n.events where n.id is not null on conflict do nothing;
    if not found then
      v_fault := stale_batch_fault(p_stream, p_subscription, p_batch);
    end if;
  end if;
  if v_fault is null and p_what <> '[]' then
    v_dead := put_off(s, n, p_what, v_now);
  end if;
  if v_fault is null and n.retried is not null then
    delete from event_retry where id = any (n.retried);
  end if;
  return query select v_fault, v_dead;
end
$$
-- next
/* Dead events of a subscription, the newest first. */
create or replace function {schema}.try_list_dead_events(p_stream text, p_subscription text, p_before bigint, p_limit int) returns table (fault jsonb, item jsonb)
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  s subscription := subscription_of(p_stream, p_subscription);
begin
  if s.id is null then
    return query select subscription_fault(p_stream, p_subscription), null::jsonb;
  end if;
  return query select null::jsonb, jsonb_build_object('place', r.id::text, 'id', r.event::text, 'type', r.type, 'key', r.key, 'data', r.data, 'headers', r.headers,
      'extra', jsonb_build_array(r.extra1, r.extra2, r.extra3, r.extra4), 'attempt', r.attempt, 'publishedAt', epoch_ms(r.at), 'diedAt', epoch_ms(r.died_at), 'errors', r.errors)
    from event_retry r where r.subscription = s.id and r.due = 'infinity' and (p_before is null or r.id < p_before) order by r.id desc limit p_limit;
end
$$
-- next
/* Dead events come again, now, their attempts counted from 0; all of them where p_ids is null. */
create or replace function {schema}.try_redrive_events(p_stream text, p_subscription text, p_ids bigint[]) returns table (fault jsonb, id bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s subscription := subscription_of(p_stream, p_subscription);
begin
  if s.id is null then
    return query select subscription_fault(p_stream, p_subscription), null::bigint;
  end if;
  return query update event_retry r set due = clock(), died_at = null, attempt = 0, alone = false
    where r.subscription = s.id and r.due = 'infinity' and (p_ids is null or r.event = any (p_ids)) returning null::jsonb, r.event;
end
$$
