create or replace function {schema}.create_subscription(stream text, name text, options jsonb default '{}', start jsonb default '"latest"') returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(coalesce(
    argument_fault('name', name ~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$'),
    subscription_options_fault(options),
    argument_fault('start', start in ('"latest"', '"earliest"') or partition_measure('id', start->'tick') > 0
      or jsonb_typeof(start->'time') = 'number' and (start->>'time')::numeric between -62135596800000 and 253402300799999)));
  select * into v from try_create_subscription(stream, name, options, start, false);
  perform raise_fault(v.fault);
  return v.created;
end
$$
-- next
create or replace function {schema}.subscription_options_fault(p_options jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select case
    when jsonb_typeof(p_options) is distinct from 'object' then argument_fault('options', false)
    else coalesce(
      (select argument_fault(key, false) from jsonb_object_keys(p_options) key where key not in ('lease', 'maxAttempts', 'backoff', 'lagLimit', 'whenStuck') order by key limit 1),
      argument_fault('lease', not p_options ? 'lease' or partition_measure('time', p_options->'lease') > 0),
      argument_fault('maxAttempts', coalesce(jsonb_typeof(p_options->'maxAttempts'), 'null') = 'null' or partition_measure('id', p_options->'maxAttempts') between 1 and 2147483647),
      argument_fault('backoff', coalesce(jsonb_typeof(p_options->'backoff'), 'null') = 'null' or backoff_wanted(p_options->'backoff') is not null),
      argument_fault('lagLimit', lag_fine(p_options->'lagLimit')),
      argument_fault('whenStuck', coalesce(p_options->>'whenStuck', 'block') in ('block', 'expire')))
  end
$$
-- next
create or replace function {schema}.drop_subscription(stream text, name text) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_drop_subscription(stream, name);
  perform raise_fault(v.fault);
  return v.existed;
end
$$
-- next
/* For other languages: opens a batch, or answers the one that the owner has open; no row where there is none. In a transaction that ends
   before the events are handled. */
create or replace function {schema}.next_batch(stream text, subscription text, owner text, lease interval default null, max_events int default 1000, shared boolean default false)
returns table (batch bigint, token bigint, events int, attempt int)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(coalesce(
    argument_fault('owner', length(owner) between 1 and 500),
    argument_fault('lease', lease is null or lease > '0' and isfinite(lease)),
    argument_fault('max_events', max_events > 0),
    argument_fault('shared', shared is not null)));
  select * into v from try_next_batch(stream, subscription, owner, shared, lease, max_events, 1, null, null, true, 0);
  perform raise_fault(v.fault);
  if v.batch is not null then
    return query select (v.batch->>'id')::bigint, (v.batch->>'lease')::bigint, (v.batch->>'count')::int, (v.batch->>'attempt')::int;
  end if;
end
$$
-- next
create or replace function {schema}.batch_events(stream text, subscription text, batch bigint, token bigint, after bigint default 0, max_events int default 1000)
returns table (id bigint, at timestamptz, type text, key text, data jsonb, headers jsonb, extra1 text, extra2 text, extra3 text, extra4 text, attempt int)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('max_events', max_events > 0));
  for v in select * from try_batch_events(stream, subscription, batch, token, coalesce(after, 0), max_events) loop
    perform raise_fault(v.fault);
    return query select v.id, v.at, v.type, v.key, v.data, v.headers, v.extra1, v.extra2, v.extra3, v.extra4, v.attempt;
  end loop;
end
$$
-- next
/* False: it is no longer this holder's. */
create or replace function {schema}.renew_batch(stream text, subscription text, batch bigint, token bigint, lease interval default '30 seconds') returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('lease', lease > '0' and isfinite(lease)));
  select * into v from try_renew_batch(stream, subscription, batch, token, lease);
  perform raise_fault(v.fault);
  return v.held;
end
$$
-- next
create or replace function {schema}.release_batch(stream text, subscription text, batch bigint, token bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_renew_batch(stream, subscription, batch, token, null);
  perform raise_fault(v.fault);
  return v.held;
end
$$
-- next
/* retries: an array of {id, delay, error, dead} for events that are to come again, to this subscription alone, delay in milliseconds. */
create or replace function {schema}.finish_batch(stream text, subscription text, batch bigint, token bigint, retries jsonb default '[]') returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault(argument_fault('retries', jsonb_typeof(retries) = 'array' and not exists (
    select from jsonb_array_elements(case jsonb_typeof(retries) when 'array' then retries else '[]' end) w
     where (w->>'id' ~ '^[0-9]{1,18}$') is not true or jsonb_typeof(w->'delay') not in ('number', 'null') or (w->>'delay')::numeric not between 0 and 3153600000000 or jsonb_typeof(w->'dead') <> 'boolean')));
  perform raise_fault((select fault from try_finish_batch(stream, subscription, batch, token, retries)));
end
$$
