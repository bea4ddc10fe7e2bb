/* Marks where the stream is. The lock comes first and the snapshot after it, so that ticks come in the order of what they see. Null
   where an external tick has an id that is not above the last one. */
create or replace function {schema}.make_tick(p_stream int, p_id bigint, p_at timestamptz) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_sort = off as $$
declare
  v_last bigint;
  v_sent bigint := published(p_stream);
begin
  perform pg_advisory_xact_lock(lock_space('tick'), p_stream);
  v_sent := published(p_stream);
  select id into v_last from tick where stream = p_stream order by id desc limit 1;
  if p_id <= v_last then
    return null;
  end if;
  insert into tick (stream, id, seen, at, sent) select p_stream, coalesce(p_id, v_last + 1, 1), seen_now(), coalesce(p_at, clock()), v_sent;
  return coalesce(p_id, v_last + 1, 1);
end
$$
-- next
/* PgQ's rule: after so many events, or so long with any. Of a stream that has become idle there is one last tick; PgQ's go on for ever. */
create or replace function {schema}.tick_is_due(t {schema}.stream, p_now timestamptz) returns boolean
language plpgsql stable set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_sort = off as $$
declare
  v_ticks tick[] := array(select k from tick k where stream = t.id order by id desc limit 2);
  v_new bigint;
  v_lag interval;
begin
  if t.ticker_paused or t.external_ticker or v_ticks[1].id is null then
    return not (t.ticker_paused or t.external_ticker);
  end if;
  v_new := published(t.id) - v_ticks[1].sent;
  v_lag := p_now - v_ticks[1].at;
  if v_new > 0 then
    return v_new >= t.ticker_max_count or v_lag >= t.ticker_max_lag or v_lag < '0';
  end if;
  return v_lag >= t.ticker_max_lag / 2 and (v_lag >= 2 * (v_ticks[1].at - v_ticks[2].at) or v_lag >= t.ticker_idle_period) and coalesce(v_ticks[1].sent > v_ticks[2].sent, false);
end
$$
-- next
/* For who wants only what was there a while ago: ticks that are close enough, maintenance or not. */
create or replace function {schema}.tick_for_lag(p_stream int, p_lag interval) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_sort = off as $$
declare
  t stream;
  k tick;
begin
  select * into t from stream where id = p_stream;
  select * into k from tick where stream = p_stream order by id desc limit 1;
  if not t.external_ticker and (k.id is null or published(p_stream) > k.sent) and coalesce(k.at < clock() - least(p_lag / 4, t.ticker_max_lag), true) then
    perform make_tick(p_stream, null, null);
  end if;
end
$$
-- next
/* A tick in a transaction of its own: of maintenance, only where one is due; forced; or an external one with an id and time of its own. */
create or replace function {schema}.try_tick(p_stream text, p_forced boolean, p_id bigint, p_at timestamptz) returns table (fault jsonb, tick bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue := stream_of(p_stream);
  t stream;
begin
  fault := case when q.id is null or not hold_stream(q.id) then queue_fault(p_stream, 'stream') else coalesce(isolation_fault(), cluster_fault()) end;
  if fault is null then
    select * into t from stream where id = q.id;
    if p_id is not null and not t.external_ticker or p_id is null and t.external_ticker and p_forced then
      fault := jsonb_build_object('code', 'ticker', 'stream', p_stream, 'external', t.external_ticker);
    elsif p_forced or tick_is_due(t, clock()) then
      tick := make_tick(q.id, p_id, p_at);
    end if;
  end if;
  return next;
end
$$
-- next
create or replace function {schema}.force_tick(stream text) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_tick(stream, true, null, null);
  perform raise_fault(v.fault);
  return v.tick;
end
$$
