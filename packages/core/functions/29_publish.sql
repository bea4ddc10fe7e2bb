/* Whether the stream takes events of this transaction: so many more. */
create or replace function {schema}.publish_fault(q {schema}.queue, p_name text, p_count int) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  t stream;
  v_before int;
begin
  if q.id is null or not hold_stream(q.id) then
    return queue_fault(p_name, 'stream');
  end if;
  select * into t from stream where id = q.id;
  if t.closed and current_setting('session_replication_role') <> 'replica' then
    return jsonb_build_object('code', 'stream_closed', 'stream', p_name);
  elsif t.per_transaction is not null then
    execute format('select count(*) from (select from %I where txid = $1 limit $2) e', event_table(q.id)) into v_before
      using pg_current_xact_id()::text::bigint, t.per_transaction;
    if v_before + p_count > t.per_transaction then
      return jsonb_build_object('code', 'transaction_limit', 'stream', p_name, 'limit', t.per_transaction);
    end if;
  end if;
  return cluster_fault();
end
$$
-- next
/* Where new events go: a transaction of an old snapshot may write to a segment that is no longer current, and loses nothing by it, since readers look into all. */
create or replace function {schema}.event_leaf(p_stream int, out leaf text, out segment smallint)
language sql stable set search_path = {schema}, pg_temp as $$
  select event_table(p_stream) || '_' || s.current, s.current from stream_segment s where s.stream = p_stream order by s.generation desc limit 1
$$
-- next
/* Appends events in the caller's transaction, in order, all or nothing. p_events: an array of {type, data, key, headers, extra1 … extra4}.
   Takes no lock that another producer or a reader waits for; any isolation level. */
create or replace function {schema}.try_publish(p_stream text, p_events jsonb) returns table (fault jsonb, id bigint)
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
#variable_conflict use_column
declare
  q queue := stream_of(p_stream);
  v_fault jsonb := publish_fault(q, p_stream, jsonb_array_length(p_events));
  w record;
begin
  if v_fault is not null then
    return query select v_fault, null::bigint;
    return;
  end if;
  select * into w from event_leaf(q.id);
  return query execute format(
    'insert into %I (at, segment, type, key, data, headers, extra1, extra2, extra3, extra4)
     select $1, $2, e->>''type'', e->>''key'', e->''data'', e->''headers'', e->>''extra1'', e->>''extra2'', e->>''extra3'', e->>''extra4''
       from jsonb_array_elements($3) with ordinality t(e, n) order by n returning null::jsonb, id', w.leaf)
    using clock(), w.segment, p_events;
  perform count_sent(q, jsonb_array_length(p_events));
end
$$
-- next
create or replace function {schema}.append_event(q {schema}.queue, p_type text, p_data jsonb, p_extra text[], p_key text, p_headers jsonb) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  w record;
  v_id bigint;
begin
  select * into w from event_leaf(q.id);
  execute format('insert into %I (at, segment, type, key, data, headers, extra1, extra2, extra3, extra4) values ($1, $2, $3, $4, $5, $6, $7[1], $7[2], $7[3], $7[4]) returning id', w.leaf)
     into v_id using clock(), w.segment, p_type, p_key, p_data, p_headers, p_extra;
  perform count_sent(q, 1);
  return v_id;
end
$$
-- next
/* For triggers and other languages: PgQ's insert_event, its data as JSON. */
create or replace function {schema}.insert_event(
  stream text, type text, data jsonb, extra1 text default null, extra2 text default null, extra3 text default null, extra4 text default null,
  key text default null, headers jsonb default null) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_variable
declare
  q queue := stream_of(stream);
begin
  perform raise_fault(coalesce(
    argument_fault('type', length(type) between 1 and 255),
    argument_fault('key', key is null or length(key) <= 500),
    argument_fault('headers', coalesce(jsonb_typeof(headers), 'object') = 'object')));
  perform raise_fault(publish_fault(q, stream, 1));
  return append_event(q, type, data, array[extra1, extra2, extra3, extra4], key, headers);
end
$$
