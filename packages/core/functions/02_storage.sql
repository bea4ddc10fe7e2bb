/* A name in this schema and in no other, for dynamic SQL. Without the schema, what is not there would be looked for among the
   temporary tables of the caller, and their triggers, policies and views would run as the owner of the schema. */
create or replace function {schema}.own(p_name text) returns text
language sql stable as $$ select format('%I.%I', current_schema(), p_name) $$
-- next
create or replace function {schema}.own_schema() returns oid
language sql stable as $$ select oid from pg_namespace where nspname = current_schema() $$
-- next
/* Null where there is no such table or sequence. */
create or replace function {schema}.own_relation(p_name text) returns regclass
language sql stable as $$ select case when p_name is not null then to_regclass(format('%I.%I', current_schema(), p_name)) end $$
-- next
/* The tables of a storage. */
create or replace function {schema}.message_table(p_storage int) returns text
language sql immutable as $$ select case p_storage when 0 then 'message' else 'message_s' || p_storage end $$
-- next
/* Where the one visited segment is, or the parent while there are two. */
create or replace function {schema}.message_leaf(p_storage int, p_live smallint[]) returns text
language sql immutable set search_path = {schema}, pg_temp as $$
  select message_table(p_storage) || case when cardinality(p_live) = 1 then '_' || p_live[1] else '' end
$$
-- next
create or replace function {schema}.archive_table(p_storage int) returns text
language sql stable set search_path = {schema}, pg_temp as $$
  select case when s.own_archive then 'archive_s' || s.id else 'archive' end from storage s where s.id = p_storage
$$
-- next
/* The first half of the advisory locks of this installation, one number for each purpose. */
create or replace function {schema}.lock_space(p_purpose text) returns int
language sql immutable set search_path = {schema}, pg_temp as $$ select hashtext('sluice ' || p_purpose || ' ' || current_schema()) $$
-- next
/* Keeps the tables of a dedicated storage from being dropped while the transaction lives. False where they are gone already:
   the look-up of the queue was overtaken by a drop. The size is asked since a name alone may be answered from what this
   session remembers: nobody tells it of the drop before it locks something. */
create or replace function {schema}.hold_storage(q {schema}.queue) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  if q.storage = 0 then
    return true;
  end if;
  perform pg_advisory_xact_lock_shared(lock_space('storage'), q.storage);
  return pg_relation_size(own_relation(message_table(q.storage))) is not null;
end
$$
-- next
/* The same for who looks at many queues, and rather passes one than waits for the end of a drop. */
create or replace function {schema}.hold_if_free(q {schema}.queue) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  return q.storage = 0
      or pg_try_advisory_xact_lock_shared(lock_space('storage'), q.storage) and pg_relation_size(own_relation(message_table(q.storage))) is not null;
end
$$
-- next
/* Whether the planner always searches an index by an array that stands for a later column, as it does since 17. */
create or replace function {schema}.searches_arrays() returns boolean
language sql stable as $$ select current_setting('server_version_num')::int >= 170000 $$
-- next
/* Whether a message that was not found may have been moved meanwhile: a flip began since p_generation, or is still going on.
   An older snapshot sees a segment empty that was truncated since, and not the messages that had been moved out of it: its
   transaction cannot tell a stale lease from one that holds. */
create or replace function {schema}.flipping(p_storage int, p_generation bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  s segment;
  v_table text := message_table(p_storage);
begin
  if isolation_fault() is not null and exists (
    select from pg_class c where c.oid in (own_relation(v_table || '_0'), own_relation(v_table || '_1')) and c.relfilenode <> pg_relation_filenode(c.oid))
  then
    raise serialization_failure using message = 'could not serialize access: messages were moved since the snapshot of this transaction';
  end if;
  select * into s from segment where storage = p_storage order by generation desc limit 1;
  return cardinality(s.live) > 1 or coalesce(s.generation <> p_generation, false);
end
$$
-- next
/* Pages of messages that this session looked at lately, as a count that only its difference means something of: what dead rows
   cost shows here, whatever the machine does. */
create or replace function {schema}.blocks_fetched(p_storage int) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  if p_storage = 0 then
    return pg_stat_get_xact_blocks_fetched('message_0'::regclass) + pg_stat_get_xact_blocks_fetched('message_1'::regclass);
  end if;
  if own_relation(message_table(p_storage) || '_1') is not null then
    return pg_stat_get_xact_blocks_fetched(own_relation(message_table(p_storage) || '_0')) + pg_stat_get_xact_blocks_fetched(own_relation(message_table(p_storage) || '_1'));
  end if;
  return (select sum(pg_stat_get_xact_blocks_fetched(relid)) from pg_partition_tree(own_relation(message_table(p_storage))) where isleaf);
end
$$
-- next
/* A number of messages, or milliseconds of an interval as text; null where it is neither. */
create or replace function {schema}.partition_measure(p_layout text, p_value jsonb) returns bigint
language plpgsql immutable as $$
begin
  return case
    when p_layout = 'id' and jsonb_typeof(p_value) = 'number' then (p_value #>> '{}')::bigint
    when p_layout = 'time' and jsonb_typeof(p_value) = 'string' then (extract(epoch from (p_value #>> '{}')::interval) * 1000)::bigint end;
exception when data_exception or feature_not_supported then
  return null; /* 1.5, a word, more than there can be, infinity */
end
$$
-- next
/* The storage that options ask for; null where the shared one will do. Widths and what is kept count messages, or milliseconds. */
create or replace function {schema}.storage_wanted(p_options jsonb) returns {schema}.storage
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  p jsonb := nullif(p_options->'partition', 'null');
  s storage;
begin
  if p is null and coalesce(p_options->>'storage', 'shared') = 'shared' then
    return null;
  end if;
  s.layout := coalesce(p->>'by', 'ring');
  s.unlogged := coalesce(p_options->>'storage' = 'unlogged', false);
  s.width := partition_measure(s.layout, p->'interval');
  s.keep := partition_measure(s.layout, p->'retention');
  s.unread := coalesce(p->>'unread', 'keep');
  s.own_archive := coalesce((p->>'archive')::boolean, false);
  return s;
end
$$
-- next
/* As options are written: storage and partition. */
create or replace function {schema}.storage_info(s {schema}.storage) returns jsonb
language sql immutable as $$
  select jsonb_build_object(
    'storage', case when s.layout is null or s.id = 0 then 'shared' when s.unlogged then 'unlogged' else 'dedicated' end,
    'partition', case when s.layout in ('id', 'time') then jsonb_build_object(
      'by', s.layout, 'interval', s.width, 'retention', s.keep, 'unread', s.unread, 'archive', s.own_archive) end)
$$
