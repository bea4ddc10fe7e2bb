/* What is cut into ranges: the archive, a day each, and dedicated storages that ask for it. n counts ranges from origin on;
   now: the range that is being written to. Values are ids, or milliseconds. p_storage: only its own. */
create or replace function {schema}.partitioned(p_storage int default null) returns table (
  parent text, storage int, is_archive boolean, measure text, field text, origin bigint, width bigint, keep bigint, unread text, unlogged boolean, now bigint, ahead int
)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  v_now bigint := extract(epoch from clock()) * 1000;
  s storage;
  v_next bigint;
  v_ahead int;
begin
  return query select 'archive', 0, true, 'time', 'archived_at', 0::bigint, 86400000::bigint, null::bigint, 'keep', false, v_now / 86400000, 2
    where coalesce(p_storage, 0) = 0;
  for s in select * from storage where layout <> 'ring' and (p_storage is null or id = p_storage) order by id loop
    v_next := null;
    v_ahead := least(greatest(2, 2 * s.pace), 100);
    if own_relation('message_id_s' || s.id) is not null then
      execute format('select last_value - %s + case when is_called then 1 else 0 end from %s', first_id(s.id), own('message_id_s' || s.id)) into v_next;
    end if;
    if v_next is not null then
      return query select message_table(s.id) || '_0', s.id, false, s.layout, case s.layout when 'id' then 'id' else 'enqueued_at' end,
        case s.layout when 'id' then first_id(s.id) else 0 end, s.width, s.keep, s.unread, s.unlogged,
        case s.layout when 'id' then v_next else v_now end / s.width, v_ahead;
    end if;
    if s.own_archive then
      return query select 'archive_s' || s.id, s.id, true, s.layout, case s.layout when 'id' then 'id' else 'archived_at' end,
        case s.layout when 'id' then first_id(s.id) else 0 end, s.width, s.keep, 'drop', false,
        case s.layout when 'id' then coalesce(v_next, 0) else v_now end / s.width, v_ahead;
    end if;
  end loop;
end
$$
-- next
/* Whose table it is that is cut into ranges; -1 where there is none of this name. */
create or replace function {schema}.storage_of(p_parent text) returns int
language sql stable set search_path = {schema}, pg_temp as $$
  select coalesce((select id from storage where p_parent in (message_table(id) || '_0', 'archive_s' || id)), case p_parent when 'archive' then 0 else -1 end)
$$
-- next
create or replace function {schema}.range_bound(p_by text, p_value bigint) returns text
language sql immutable set datestyle = iso set timezone = utc as $$
  select case p_by when 'id' then p_value::text else (timestamptz 'epoch' + p_value * interval '1 millisecond')::text end
$$
-- next
/* What is due: make the ranges of now and of those ahead; move rows of past ranges out of the default partition; drop past
   ranges that are empty, or whose time is over. Only looks; each step is a transaction of its own. */
create or replace function {schema}.partition_steps(p_storage int default null) returns table (step text, parent text, n bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  p record;
  v_position text;
  v_past bigint;
begin
  for p in select * from partitioned(p_storage) loop
    return query
      select 'make', p.parent, k from generate_series(p.now, p.now + p.ahead) k where own_relation(p.parent || '_p' || k) is null;
    /* A minute late: nobody is on his way there any more. */
    v_past := case p.measure when 'id' then p.now else ((extract(epoch from clock()) - 60) * 1000)::bigint / p.width end;
    v_position := case p.measure when 'id' then 'id' else format('(extract(epoch from %I) * 1000)::bigint', p.field) end;
    return query execute format('select ''move'', %L, k from (select distinct (%s - $1) / $2 as k from only %s where %s >= $1) d where k < $3 order by k',
      p.parent, v_position, own(p.parent || '_default'), v_position) using p.origin, p.width, v_past;
    return query
      select 'drop', p.parent, k from (
        select substr(c.relname, length(p.parent) + 3)::bigint as k
          from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = own_relation(p.parent) and c.relname ~ '_p[0-9]+$') r
       where k < p.now and range_may_go(p.parent, k) order by k;
  end loop;
end
$$
-- next
/* Its time is over, or nothing is in it. */
create or replace function {schema}.range_may_go(p_parent text, p_n bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  p record;
  v_over boolean;
  v_any boolean;
begin
  select * into p from partitioned(storage_of(p_parent)) where parent = p_parent;
  v_over := p.keep is not null and (p_n + 1) * p.width <= case p.measure
    when 'id' then p.now * p.width else extract(epoch from clock()) * 1000 end - p.keep;
  if v_over and p.unread = 'drop' then
    return true;
  elsif p_parent = 'archive' and expired(p_n) then
    return true;
  end if;
  execute format('select exists (select from only %s)', own(p_parent || '_p' || p_n)) into v_any;
  return not v_any;
end
$$
-- next
/* Whether every queue with messages in this day of the archive keeps them no longer. By an index, from queue to queue. */
create or replace function {schema}.expired(p_day bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  v_queue int := 0;
begin
  loop
    execute format('select min(queue) from only %s where queue > $1', own('archive_p' || p_day)) into v_queue using v_queue;
    exit when v_queue is null;
    if not exists (select from queue where id = v_queue and clock() - archive_retention >= timestamptz 'epoch' + (p_day + 1) * interval '1 day') then
      return false;
    end if;
  end loop;
  return true;
end
$$
-- next
/* One step, as partition_steps found it, in a transaction of its own; what cannot be due is not done. A lock that is not had
   within 50 ms is asked for again another time. count: rows that were moved, or dropped. */
create or replace function {schema}.partition_step(p_step text, p_parent text, p_n bigint) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set lock_timeout = '50ms' as $$
declare
  p record;
  v_count bigint;
begin
  if isolation_fault() is not null then
    return jsonb_build_object('fault', isolation_fault());
  end if;
  select * into p from partitioned(storage_of(p_parent)) where parent = p_parent;
  if (case p_step when 'make' then p_n between p.now and p.now + p.ahead
                  when 'move' then p_n between 0 and p.now - 1
                  when 'drop' then p_n between 0 and p.now - 1 end) is not true or not pg_try_advisory_xact_lock(lock_space('partitions'), 0) then
    return '{"did": "nothing"}';
  end if;
  v_count := case p_step when 'drop' then drop_range(p_parent, p_n) else make_range(p_parent, p_n, p_step = 'move') end;
  return case when v_count is null then '{"did": "nothing"}'::jsonb
    else jsonb_build_object('did', p_step, 'table', p_parent || '_p' || p_n, 'count', v_count) end;
exception when lock_not_available then
  return '{"did": "refused"}';
end
$$
-- next
/* Null where there is nothing to do. Rows of this range in the default partition hinder it unless they are moved along, which
   is for ranges that are past: the default partition is locked meanwhile. Who is about to write to this range may already be on
   his way to the default partition, and would be refused after the range is attached; so where he may exist the parent is
   locked first, which lets nobody wait half-way. */
create or replace function {schema}.make_range(p_parent text, p_n bigint, p_move boolean) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  p record;
  v_table text := p_parent || '_p' || p_n;
  v_default text := own(p_parent || '_default');
  v_from text;
  v_to text;
  v_any boolean;
  v_count bigint := 0;
begin
  if own_relation(v_table) is not null then
    return null;
  end if;
  select * into p from partitioned(storage_of(p_parent)) where parent = p_parent;
  v_from := range_bound(p.measure, p.origin + p_n * p.width);
  v_to := range_bound(p.measure, p.origin + (p_n + 1) * p.width);
  if p.measure = 'id' or p_n = p.now then
    execute format('lock table only %s in access exclusive mode', own(p_parent));
  end if;
  execute format('lock table only %s in access exclusive mode', v_default);
  execute format('select exists (select from only %1$s where %2$I >= %3$L and %2$I < %4$L)', v_default, p.field, v_from, v_to) into v_any;
  if v_any <> p_move then
    return null;
  end if;
  execute format('create %s table %s (like %s including defaults including constraints) %s', case when p.unlogged then 'unlogged' else '' end,
    own(v_table), own(p_parent), case when p.is_archive then '' else leaf_settings() end);
  if v_any then
    execute format('with gone as (delete from only %1$s where %2$I >= %3$L and %2$I < %4$L returning *) insert into %5$s select * from gone',
      v_default, p.field, v_from, v_to, own(v_table));
    get diagnostics v_count = row_count;
    /* Who took the time while this range was not past yet; asked for last, since a move may take long. */
    execute format('lock table only %s in access exclusive mode', own(p_parent));
  end if;
  execute format('alter table %s attach partition %s for values from (%L) to (%L)', own(p_parent), own(v_table), v_from, v_to);
  return v_count;
end
$$
-- next
/* What is in it is counted under its lock, and goes only if it may. The parent is locked last, and for no longer than the drop
   takes: everybody who writes to the table needs it. */
create or replace function {schema}.drop_range(p_parent text, p_n bigint) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_table text := p_parent || '_p' || p_n;
  v_count bigint;
  q queue;
  v_ids bigint[];
begin
  if own_relation(v_table) is null then
    return null;
  end if;
  execute format('lock table only %s in access exclusive mode', own(v_table));
  if not range_may_go(p_parent, p_n) then
    return null;
  end if;
  execute format('select count(*) from only %s', own(v_table)) into v_count;
  select * into q from queue where storage = storage_of(p_parent) and dropped_at is null;
  execute format('select array(select d.parent from dependency d where d.queue = $1 and exists (select from only %s m where m.id = d.parent))', own(v_table))
     into v_ids using q.id;
  execute format('lock table only %s in access exclusive mode', own(p_parent));
  execute format('drop table %s', own(v_table));
  if v_ids <> '{}' and p_parent not like 'archive%' then
    perform release_dependants(q, v_ids, false);
  end if;
  return v_count;
end
$$
-- next
/* Deletes up to p_limit archived messages whose queue keeps them no longer, whole days of them: what is kept is never looked at. */
create or replace function {schema}.expire_archive(p_limit int default 5000) returns int
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  q record;
  v_count int := 0;
  v_gone int;
begin
  for q in select id, date_trunc('day', clock() - archive_retention, 'UTC') as cutoff from queue where archive_retention is not null loop
    exit when v_count >= p_limit;
    delete from archive where (queue, id, archived_at) in (
      select a.queue, a.id, a.archived_at from archive a where a.queue = q.id and a.archived_at < q.cutoff limit p_limit - v_count);
    get diagnostics v_gone = row_count;
    v_count := v_count + v_gone;
  end loop;
  return v_count;
end
$$
