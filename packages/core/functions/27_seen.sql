/* The transactions whose effects the calling statement sees, as ranges of their ids: a position in a stream. An event is in a window
   when its transaction is in the one position and not in the other, whenever it committed and whatever its id is (PgQ's rule,
   as a difference of sets). The own transaction is left out: what it publishes is for a later window. */
create or replace function {schema}.seen_now() returns int8multirange
language sql stable set search_path = {schema}, pg_temp as $$
  select int8multirange(int8range(0, pg_snapshot_xmax(s)::text::bigint)) - coalesce(
      (select range_agg(int8range(x, x, '[]'))
         from (select pg_snapshot_xip(s)::text::bigint union all select pg_current_xact_id_if_assigned()::text::bigint) t(x) where x is not null), '{}')
    from pg_current_snapshot() s
$$
-- next
create or replace function {schema}.event_table(p_stream int) returns text
language sql immutable as $$ select 'event_s' || p_stream $$
-- next
/* The events of the transactions $1, for dynamic SQL: a look-up in the index for each range of them, with what else is asked of an event i.
   The offset keeps that inside: by ids alone the planner would read the whole index. */
create or replace function {schema}.events_of(p_stream int, p_where text default 'true') returns text
language sql immutable set search_path = {schema}, pg_temp as $$
  select format('unnest($1) r, lateral (select * from %I i where i.txid >= coalesce(lower(r), 0) and i.txid < coalesce(upper(r), 9223372036854775807) and %s offset 0) e', event_table(p_stream), p_where)
$$
-- next
/* The same from an id to another, both included. A range of one transaction is asked for as one: before 18 only that ends the search in
   the index at the last id, and of a million events in one transaction each batch would go through all that follow. */
create or replace function {schema}.events_between(p_stream int, p_from text, p_to text, p_where text default 'true') returns text
language sql immutable set search_path = {schema}, pg_temp as $$
  select format('unnest($1) r, lateral (
      select * from %1$I i where upper(r) - lower(r) = 1 and i.txid = lower(r) and %2$s
      union all
      select * from %1$I i where upper(r) - lower(r) is distinct from 1 and i.txid >= coalesce(lower(r), 0) and i.txid < coalesce(upper(r), 9223372036854775807) and %2$s offset 0) e',
    event_table(p_stream), format('i.id >= %s and i.id <= %s and %s', p_from, p_to, p_where))
$$
-- next
/* What was ever published, rolled back or not: a hint for ticks and metrics, never for what is in a batch. */
create or replace function {schema}.published(p_stream int) returns bigint
language sql volatile set search_path = {schema}, pg_temp as $$
  select coalesce(pg_sequence_last_value(own_relation('sent_' || p_stream)), 0)
$$
-- next
/* Positions are sets of transaction ids, which mean nothing in another cluster: one restored there is refused until it is repaired. */
create or replace function {schema}.cluster_fault() returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('code', 'other_cluster', 'stored', i.cluster, 'actual', c.system_identifier::text)
    from installation i, pg_control_system() c where i.cluster is distinct from c.system_identifier::text
$$
-- next
/* Keeps the tables of a stream from being dropped while the transaction lives; false where they are gone already. */
create or replace function {schema}.hold_stream(p_stream int) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform pg_advisory_xact_lock_shared(lock_space('stream'), p_stream);
  return pg_relation_size(own_relation(event_table(p_stream) || '_0')) is not null;
end
$$
-- next
/* The same for who looks at many streams, and rather passes one than waits for the end of a drop. */
create or replace function {schema}.hold_stream_if_free(p_stream int) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  return pg_try_advisory_xact_lock_shared(lock_space('stream'), p_stream) and pg_relation_size(own_relation(event_table(p_stream) || '_0')) is not null;
end
$$
-- next
create or replace function {schema}.subscription_fault(p_stream text, p_subscription text) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select case when exists (select from queue where name = p_stream and kind = 'stream' and dropped_at is null)
    then jsonb_build_object('code', 'subscription_not_found', 'stream', p_stream, 'subscription', p_subscription)
    else queue_fault(p_stream, 'stream') end
$$
-- next
create or replace function {schema}.subscription_of(p_stream text, p_subscription text) returns {schema}.subscription
language sql stable set search_path = {schema}, pg_temp as $$
  select s from queue q join subscription s on s.stream = q.id
   where q.name = p_stream and q.kind = 'stream' and q.dropped_at is null and s.name = p_subscription
$$
-- next
create or replace function {schema}.epoch_ms_of(p_length interval) returns float8
language sql immutable as $$ select round(extract(epoch from p_length) * 1000)::float8 $$
