/* Whether a round of maintenance began within the last 10 seconds. */
create or replace function {schema}.maintained_lately() returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_ago float8;
begin
  select extract(epoch from clock()) * 1000 - last_value into v_ago from maintained;
  return v_ago between 0 and 10000;
end
$$
-- next
/* A new generation of which segments there are: where sends go, and what readers visit. */
create or replace function {schema}.set_segments(s {schema}.segment, p_current int, p_live smallint[]) returns void
language sql volatile set search_path = {schema}, pg_temp as $$
  insert into segment (storage, generation, current, live, at) values (s.storage, s.generation + 1, p_current, p_live, clock());
  delete from segment where storage = s.storage and generation < s.generation - 100
$$
-- next
/* The table of the segment that sends do not go to. */
create or replace function {schema}.other_leaf(s {schema}.segment) returns text
language sql stable set search_path = {schema}, pg_temp as $$ select message_table(s.storage) || '_' || 1 - s.current $$
-- next
/* A message in a segment that readers no longer visit: its sender looked up the segment before a flip and came after it. The
   readers are sent back. */
create or replace function {schema}.reopen(p_storage int) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_indexscan = off as $$
declare
  s segment;
  v_other text;
  v_found boolean;
begin
  select * into s from segment where storage = p_storage order by generation desc limit 1;
  v_other := other_leaf(s);
  if cardinality(s.live) > 1 or coalesce(pg_relation_size(own_relation(v_other)), 0) = 0
     or not pg_try_advisory_xact_lock(lock_space('flip'), p_storage) then
    return false;
  elsif s.generation <> (select max(generation) from segment where storage = p_storage) then
    return true; -- somebody was faster
  end if;
  execute format('select exists (select from only %I)', v_other) into v_found;
  if v_found then
    perform set_segments(s, s.current, '{0,1}');
  end if;
  return v_found;
end
$$
-- next
/* One step of a flip, in a transaction of its own; which one follows from what is there, so that whoever comes next carries
   on. A flip sends new messages to the other segment, moves the old one's over, sends readers away from it, and truncates
   it: dead rows are gone then, whatever the horizon of the oldest transaction is. p_after: where the last move ended. */
create or replace function {schema}.flip_step(p_storage int, p_dead int default 20000, p_pause interval default '5 seconds', p_after tid default null)
returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan as $$
declare
  s segment;
  v_other text;
begin
  if isolation_fault() is not null then
    return jsonb_build_object('fault', isolation_fault());
  end if;
  if not pg_try_advisory_xact_lock(lock_space('flip'), p_storage)
     or p_storage <> 0 and not pg_try_advisory_xact_lock_shared(lock_space('storage'), p_storage) then
    return '{"did": "busy"}';
  end if;
  select * into s from segment where storage = p_storage order by generation desc limit 1;
  v_other := other_leaf(s);
  if own_relation(v_other) is null then
    return '{"did": "nothing"}';
  elsif cardinality(s.live) > 1 then
    return flip_move(s, v_other, p_after);
  elsif pg_relation_size(own_relation(v_other)) > 0 then
    return flip_truncate(s, v_other);
  elsif flip_pays(s, p_dead, p_pause) then
    perform set_segments(s, 1 - s.current, '{0,1}');
    return '{"did": "begun"}';
  end if;
  return '{"did": "nothing"}';
end
$$
-- next
/* Vacuum does not keep up, or has not come yet: then the flip does its work. Moving what is alive costs less than half of
   what is dead. Statistics come late: of an empty leaf they may still tell what was in it before it was truncated. */
create or replace function {schema}.flip_pays(s {schema}.segment, p_dead int, p_pause interval) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_leaf regclass := own_relation(message_table(s.storage) || '_' || s.current);
  v_dead bigint := pg_stat_get_dead_tuples(v_leaf);
begin
  return pg_relation_size(v_leaf) > 0 and v_dead > p_dead and v_dead > 2 * pg_stat_get_live_tuples(v_leaf) and not clock() between s.at and s.at + p_pause;
end
$$
-- next
/* Moves up to 500 messages by delete and insert: an update of the segment would fail who waits for the row. When there is
   none left, readers leave the old segment. For its first seconds a flip waits for those who hold a write lock on it, whose
   messages would come to light later; no longer, since settles hold one too, and there may always be some. */
create or replace function {schema}.flip_move(s {schema}.segment, p_other text, p_after tid) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set enable_indexscan = off as $$
declare
  v_count int;
  v_last tid;
  v_left boolean;
  v_columns text := (select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
    where attrelid = 'message'::regclass and attnum > 0 and not attisdropped and attname <> 'segment');
begin
  execute format('with found as materialized (select ctid as at from only %1$I where ctid > coalesce($1, ''(0,0)'') limit 500 for update skip locked),
      gone as (delete from only %1$I where ctid = any (array(select at from found)) returning *),
      come as (insert into %2$I (segment, %3$s) select $2, %3$s from gone)
    select count(*), max(at) from found', p_other, message_table(s.storage), v_columns) into v_count, v_last using p_after, s.current;
  if v_count > 0 or p_after is not null then
    return jsonb_build_object('did', 'moved', 'count', v_count, 'after', v_last);
  end if;
  execute format('select exists (select from only %I)', p_other) into v_left;
  if v_left or clock() between s.at and s.at + interval '5 seconds' and exists (select from pg_locks where relation = own_relation(p_other) and database = (select oid from pg_database where datname = current_database())
                        and mode = 'RowExclusiveLock' and pid <> pg_backend_pid()) then
    return '{"did": "waits"}';
  end if;
  perform set_segments(s, s.current, array[s.current]);
  return '{"did": "drained"}';
end
$$
-- next
/* Asks for the lock for 50 ms at most: meanwhile everybody queues behind. Empty is what counts, seen under the lock. */
create or replace function {schema}.flip_truncate(s {schema}.segment, p_other text) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set lock_timeout = '50ms' as $$
declare
  v_locked boolean := true;
  v_left boolean;
begin
  begin
    execute format('lock table only %I in access exclusive mode', p_other);
  exception when lock_not_available then
    v_locked := false;
  end;
  execute format('select exists (select from only %I)', p_other) into v_left;
  if v_left then
    perform set_segments(s, s.current, '{0,1}');
    return '{"did": "reopened"}';
  elsif not v_locked then
    return '{"did": "refused"}';
  end if;
  execute format('truncate only %I', p_other);
  perform pg_stat_force_next_flush();
  return '{"did": "truncated"}';
end
$$
