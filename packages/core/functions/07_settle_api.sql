create or replace function {schema}.stale_fault(p_queue text, p_id bigint) returns jsonb
language sql immutable as $$ select jsonb_build_object('code', 'stale_lease', 'queue', p_queue, 'id', p_id::text) $$
-- next
/* The public forms raise SL003 when the lease is stale. */
create or replace function {schema}.delete(queue text, id bigint, lease bigint) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_delete(queue, array[id], array[lease]);
  perform raise_fault(coalesce(v.fault, case when v.id is null then stale_fault(queue, id) end));
end
$$
-- next
create or replace function {schema}.archive(queue text, id bigint, lease bigint) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_archive(queue, array[id], array[lease]);
  perform raise_fault(coalesce(v.fault, case when v.id is null then stale_fault(queue, id) end));
end
$$
-- next
create or replace function {schema}.release(queue text, id bigint, lease bigint) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_settle(queue, array[id], array[lease], '[{"to": "release"}]');
  perform raise_fault(coalesce(v.fault, case when v.id is null then stale_fault(queue, id) end));
end
$$
-- next
create or replace function {schema}.set_vt(queue text, id bigint, lease bigint, delay interval) returns timestamptz
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('delay', isfinite(delay)));
  select * into v from try_set_vt(queue, id, lease, null, delay, null);
  perform raise_fault(coalesce(v.fault, case when v.visible_at is null then stale_fault(queue, id) end));
  return v.visible_at;
end
$$
-- next
create or replace function {schema}.extend(queue text, id bigint, lease bigint, by interval) returns timestamptz
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('by', isfinite(by)));
  select * into v from try_set_vt(queue, id, lease, null, null, by);
  perform raise_fault(coalesce(v.fault, case when v.visible_at is null then stale_fault(queue, id) end));
  return v.visible_at;
end
$$
-- next
/* An error as it is kept, from whatever a SQL caller calls one. */
create or replace function {schema}.error_document(p_error jsonb) returns jsonb
language sql immutable as $$
  select case when jsonb_typeof(p_error) = 'object' then p_error when p_error <> 'null' then jsonb_build_object('name', 'Error', 'message', p_error #>> '{}') end
$$
-- next
/* delay: null is the queue's backoff. */
create or replace function {schema}.retry(queue text, id bigint, lease bigint, delay interval default null, error jsonb default null) returns text
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('delay', isfinite(coalesce(delay, '0'))));
  select * into v from try_settle(queue, array[id], array[lease],
    jsonb_build_array(jsonb_build_object('to', 'retry', 'delay', extract(epoch from delay) * 1000, 'error', error_document(error))));
  perform raise_fault(coalesce(v.fault, case when v.outcome is null then stale_fault(queue, id) end));
  return v.outcome;
end
$$
-- next
create or replace function {schema}.snooze(queue text, id bigint, lease bigint, delay interval) returns timestamptz
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(argument_fault('delay', isfinite(delay)));
  select * into v from try_settle(queue, array[id], array[lease],
    jsonb_build_array(jsonb_build_object('to', 'snooze', 'delay', extract(epoch from delay) * 1000)));
  perform raise_fault(coalesce(v.fault, case when v.outcome is null then stale_fault(queue, id) end));
  return v.visible_at;
end
$$
-- next
create or replace function {schema}.dead_letter(queue text, id bigint, lease bigint, error jsonb default null) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_settle(queue, array[id], array[lease],
    jsonb_build_array(jsonb_build_object('to', 'dead', 'error', error_document(error))));
  perform raise_fault(coalesce(v.fault, case when v.outcome is null then stale_fault(queue, id) end));
end
$$
