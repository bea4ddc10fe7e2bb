create or replace function {schema}.stream_info(q {schema}.queue) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object(
    'id', q.id::text, 'name', q.name, 'createdAt', epoch_ms(q.created_at), 'notify', q.notify,
    'rotationPeriod', epoch_ms_of(t.rotation_period), 'retention', epoch_ms_of(t.retention),
    'tickerMaxCount', t.ticker_max_count, 'tickerMaxLag', epoch_ms_of(t.ticker_max_lag), 'tickerIdlePeriod', epoch_ms_of(t.ticker_idle_period),
    'tickerPaused', t.ticker_paused, 'externalTicker', t.external_ticker, 'closed', t.closed, 'maxEventsPerTransaction', t.per_transaction,
    'lagLimit', t.lag_limit, 'whenStuck', t.when_stuck)
    from stream t where t.id = q.id
$$
-- next
create or replace function {schema}.stream_of(p_name text) returns {schema}.queue
language sql stable set search_path = {schema}, pg_temp as $$
  select q from queue q where q.name = p_name and q.kind = 'stream' and q.dropped_at is null
$$
-- next
/* Lengths of time in milliseconds, in an object of options as the SQL functions and the client say them. */
create or replace function {schema}.lag_wanted(p jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select case when jsonb_typeof(p) = 'object' then jsonb_build_object('age', partition_measure('time', p->'age'), 'events', (p->>'events')::bigint, 'bytes', (p->>'bytes')::bigint) end
$$
-- next
create or replace function {schema}.stream_differences(q {schema}.queue, p_options jsonb) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('code', 'options_differ', 'queue', q.name, 'kind', 'stream',
           'differences', jsonb_agg(jsonb_build_object('option', key, 'stored', stored, 'requested', value) order by key))
    from (select key, stream_info(q)->key as stored,
                 case when key in ('rotationPeriod', 'retention', 'tickerMaxLag', 'tickerIdlePeriod') then to_jsonb(epoch_ms_of((value #>> '{}')::interval))
                      when key = 'lagLimit' then coalesce(lag_wanted(value), 'null')
                      else value end as value
            from jsonb_each(p_options)) o
   where stored is distinct from value
  having count(*) > 0
$$
-- next
/* Creates a stream or finds it. */
create or replace function {schema}.try_create_stream(p_name text, p_options jsonb, p_must_be_new boolean)
returns table (fault jsonb, created boolean, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  q queue;
begin
  loop
    insert into queue (name, kind, created_at) values (p_name, 'stream', clock())
      on conflict (name) where dropped_at is null do nothing returning * into q;
    exit when found;
    select * into q from queue where name = p_name and dropped_at is null;
    if found then
      return query select case when q.kind <> 'stream' then queue_fault(p_name, 'stream')
          when p_must_be_new then jsonb_build_object('code', 'queue_already_exists', 'queue', p_name, 'kind', 'stream')
          else stream_differences(q, p_options) end, false, stream_info(q);
      return;
    end if;
    /* It was dropped between the two statements. */
  end loop;
  insert into stream (id) values (q.id);
  perform create_event_tables(q.id);
  insert into stream_segment (stream, generation, current, at, sent) values (q.id, 1, 0, clock(), 0);
  perform set_stream(q.id, p_options);
  perform make_tick(q.id, null, null);
  return query select null::jsonb, true, stream_info(n) from queue n where n.id = q.id;
end
$$
-- next
/* One table with three segments for each stream: rotation empties one by TRUNCATE, which leaves no dead rows. */
create or replace function {schema}.create_event_tables(p_stream int) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_table text := event_table(p_stream);
begin
  execute format('create sequence %I.%I', current_schema(), 'sent_' || p_stream);
  execute format('create table %I.%I (
      txid bigint not null default pg_current_xact_id()::text::bigint, id bigint not null default nextval(%L), at timestamptz not null, segment smallint not null,
      type text not null, key text, data jsonb, headers jsonb, extra1 text, extra2 text, extra3 text, extra4 text) partition by list (segment)',
    current_schema(), v_table, format('%I.event_id', current_schema()));
  execute format('create index %I on %I (txid, id)', v_table || '_txid', v_table);
  for v_segment in 0 .. 2 loop
    execute format('create table %I.%I partition of %I for values in (%s) with (autovacuum_vacuum_insert_threshold = 100000, autovacuum_analyze_threshold = 100000)',
      current_schema(), v_table || '_' || v_segment, v_table, v_segment);
  end loop;
end
$$
-- next
/* For verify: what is missing or changed of the tables of streams. */
create or replace function {schema}.event_table_differences() returns setof text
language sql stable set search_path = {schema}, pg_temp as $$
  with wanted as (
    select q.id, q.name as stream, event_table(q.id) || part as name, part, own_relation(event_table(q.id) || part) as relation
      from queue q, unnest('{"",_0,_1,_2}'::text[]) part where q.kind = 'stream' and q.dropped_at is null)
  select format('table %s: missing', name) from wanted where relation is null
  union all
  select format('table %s: is no segment of %s', name, event_table(id)) from wanted w
   where part <> '' and relation is not null and not exists (select from pg_inherits i where i.inhrelid = w.relation and i.inhparent = own_relation(event_table(w.id)))
  union all
  select format('table %s: its columns are %s', name, columns)
    from wanted w, lateral (select string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), case when attnotnull then 'not null' end, case when atthasdef then 'default' end), ', ' order by attnum)
      from pg_attribute where attrelid = w.relation and attnum > 0 and not attisdropped) c(columns)
   where columns <> 'txid bigint not null default, id bigint not null default, at timestamp with time zone not null, segment smallint not null, type text not null, '
     'key text, data jsonb, headers jsonb, extra1 text, extra2 text, extra3 text, extra4 text'
  union all
  select format('index %s_txid: %s', name, case when i.invalid then 'invalid' else 'missing' end)
    from wanted w left join lateral (select not indisvalid from pg_index where indrelid = w.relation and pg_get_indexdef(indexrelid) like '%(txid, id)' order by indisvalid desc limit 1) i(invalid) on true
   where relation is not null and i.invalid is not false
  union all
  select format('sequence sent_%s: missing', id) from wanted where part = '' and own_relation('sent_' || id) is null
  union all
  select format('stream %s: its %s missing', stream, case when exists (select from stream s where s.id = w.id) then 'segments are' else 'options are' end)
    from wanted w where part = '' and not (exists (select from stream s where s.id = w.id) and exists (select from stream_segment s where s.stream = w.id))
$$
-- next
create or replace function {schema}.set_stream(p_id int, p_patch jsonb) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  update stream set
    rotation_period = coalesce((p_patch->>'rotationPeriod')::interval, rotation_period),
    retention = coalesce((p_patch->>'retention')::interval, retention),
    ticker_max_count = coalesce((p_patch->>'tickerMaxCount')::int, ticker_max_count),
    ticker_max_lag = coalesce((p_patch->>'tickerMaxLag')::interval, ticker_max_lag),
    ticker_idle_period = coalesce((p_patch->>'tickerIdlePeriod')::interval, ticker_idle_period),
    ticker_paused = coalesce((p_patch->>'tickerPaused')::boolean, ticker_paused),
    external_ticker = coalesce((p_patch->>'externalTicker')::boolean, external_ticker),
    closed = coalesce((p_patch->>'closed')::boolean, closed),
    per_transaction = case when p_patch ? 'maxEventsPerTransaction' then (p_patch->>'maxEventsPerTransaction')::int else per_transaction end,
    lag_limit = case when p_patch ? 'lagLimit' then lag_wanted(p_patch->'lagLimit') else lag_limit end,
    when_stuck = coalesce(p_patch->>'whenStuck', when_stuck)
   where id = p_id;
  update queue set notify = coalesce(p_patch->>'notify', notify) where id = p_id and p_patch ? 'notify';
end
$$
-- next
create or replace function {schema}.try_update_stream(p_name text, p_patch jsonb) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue;
begin
  q := stream_of(p_name);
  /* In the order of who drops it. */
  perform hold_stream(q.id);
  select * into q from queue where id = q.id and dropped_at is null for no key update;
  if q.id is null then
    return query select queue_fault(p_name, 'stream'), null::jsonb;
    return;
  end if;
  perform set_stream(q.id, p_patch);
  return query select null::jsonb, stream_info(n) from queue n where n.id = q.id;
end
$$
-- next
/* The triggers that feed a stream, or fed one of this name; inherited: a partition has it from its parent. */
create or replace function {schema}.captures_of(p_stream text) returns table (relation oid, name name, stream int, inherited boolean)
language sql stable set search_path = {schema}, pg_temp as $$
  select t.tgrelid, t.tgname, (o->>'id')::int, t.tgparentid <> 0
    from pg_trigger t,
         /* Other triggers have other arguments, or none; this is not to be evaluated for them. */
         lateral (select case when t.tgfoid = any (array(select oid from pg_proc where pronamespace = own_schema() and proname in ('capture', 'capture_row')))
           then convert_from(substr(t.tgargs, 1, length(t.tgargs) - 1), getdatabaseencoding())::jsonb end) a(o)
   where o->>'stream' = p_stream
$$
-- next
create or replace function {schema}.stream_in_use_fault(q {schema}.queue) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('code', 'stream_in_use', 'stream', q.name, 'subscriptions', subscriptions, 'tables', tables)
    from (select array(select name from subscription where stream = q.id order by name),
                 array(select distinct relation::regclass::text from captures_of(q.name) where stream = q.id and not inherited order by 1)) u(subscriptions, tables)
   where subscriptions || tables <> '{}'
$$
-- next
/* Refused while there are subscriptions or captured tables, unless forced. Waits for every transaction that publishes to it. */
create or replace function {schema}.try_drop_stream(p_name text, p_force boolean) returns table (fault jsonb, existed boolean)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  q queue;
  v_fault jsonb;
begin
  select * into q from queue where name = p_name and dropped_at is null;
  v_fault := case when q.kind <> 'stream' then queue_fault(p_name, 'stream') when not p_force then stream_in_use_fault(q) end;
  if q.id is not null and v_fault is null then
    /* Before the row: who publishes or subscribes has this one, and may come to the row. */
    perform pg_advisory_xact_lock(lock_space('stream'), q.id);
    select * into q from queue where id = q.id and dropped_at is null for update;
    v_fault := case when not p_force then stream_in_use_fault(q) end;
  end if;
  if q.id is null or v_fault is not null then
    return query select v_fault, q.id is not null;
    return;
  end if;
  perform forget_subscription(id) from subscription where stream = q.id order by id;
  delete from tick where stream = q.id;
  delete from forward_stream where stream = q.id;
  delete from stream_segment where stream = q.id;
  delete from stream where id = q.id;
  execute format('drop table %I.%I', current_schema(), event_table(q.id));
  update queue set dropped_at = clock() where id = q.id;
  perform drop_counters();
  return query select null::jsonb, true;
end
$$
-- next
create or replace function {schema}.try_list_streams(p_after text, p_limit int) returns table (info jsonb)
language sql stable set search_path = {schema}, pg_temp as $$
  select stream_info(q) from queue q where q.kind = 'stream' and q.dropped_at is null and (p_after is null or q.name > p_after) order by q.name limit p_limit
$$
-- next
create or replace function {schema}.lag_fine(p jsonb) returns boolean
language sql immutable set search_path = {schema}, pg_temp as $$
  select coalesce(jsonb_typeof(p), 'null') = 'null' or jsonb_typeof(p) = 'object' and p - '{age,events,bytes}'::text[] = '{}'
     and (not p ? 'age' or partition_measure('time', p->'age') > 0)
     and not exists (select from jsonb_each(p - 'age') where (partition_measure('id', value) > 0) is not true)
$$
-- next
create or replace function {schema}.try_get_stream(p_name text) returns table (fault jsonb, info jsonb)
language sql stable set search_path = {schema}, pg_temp as $$
  select case when q.id is null then queue_fault(p_name, 'stream') end, case when q.id is not null then stream_info(q) end from stream_of(p_name) q
$$
-- next
/* The first option that there is not, or that cannot be meant, of those that the SQL functions were given. */
create or replace function {schema}.stream_options_fault(p_options jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select case
    when jsonb_typeof(p_options) is distinct from 'object' then argument_fault('options', false)
    else coalesce(
      (select argument_fault(key, false) from jsonb_object_keys(p_options) key
        where key not in ('notify', 'rotationPeriod', 'retention', 'tickerMaxCount', 'tickerMaxLag', 'tickerIdlePeriod', 'tickerPaused', 'externalTicker', 'closed', 'maxEventsPerTransaction', 'lagLimit', 'whenStuck') order by key limit 1),
      (select argument_fault(key, false) from jsonb_each_text(p_options) where key in ('rotationPeriod', 'tickerMaxLag', 'tickerIdlePeriod') and coalesce(partition_measure('time', to_jsonb(value)), 0) <= 0 limit 1),
      argument_fault('retention', not p_options ? 'retention' or partition_measure('time', p_options->'retention') >= 0),
      (select argument_fault(key, false) from jsonb_each(p_options) where key in ('tickerPaused', 'externalTicker', 'closed') and jsonb_typeof(value) <> 'boolean' limit 1),
      argument_fault('tickerMaxCount', not p_options ? 'tickerMaxCount' or partition_measure('id', p_options->'tickerMaxCount') between 1 and 2147483647),
      argument_fault('maxEventsPerTransaction', coalesce(jsonb_typeof(p_options->'maxEventsPerTransaction'), 'null') = 'null'
        or partition_measure('id', p_options->'maxEventsPerTransaction') between 0 and 2147483647),
      argument_fault('lagLimit', lag_fine(p_options->'lagLimit')),
      argument_fault('whenStuck', coalesce(p_options->>'whenStuck', 'block') in ('block', 'expire')),
      argument_fault('notify', coalesce(p_options->>'notify', 'off') in ('off', 'transaction')))
  end
$$
-- next
create or replace function {schema}.create_stream(name text, options jsonb default '{}', out id int, out created boolean)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(stream_options_fault(options));
  perform raise_fault(argument_fault('name', name ~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$'));
  select * into v from try_create_stream(name, options, false);
  perform raise_fault(v.fault);
  id := (v.info->>'id')::int;
  created := v.created;
end
$$
-- next
create or replace function {schema}.update_stream(name text, patch jsonb) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(stream_options_fault(patch));
  select * into v from try_update_stream(name, patch);
  perform raise_fault(v.fault);
  return v.info;
end
$$
-- next
create or replace function {schema}.drop_stream(name text, force boolean default false) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_drop_stream(name, coalesce(force, false));
  perform raise_fault(v.fault);
  return v.existed;
end
$$
