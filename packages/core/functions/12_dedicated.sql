/* The functions that name the message table, and each other. A dedicated storage has its own of each, so that its plans are
   as static as the shared one's. */
create or replace function {schema}.storage_functions() returns text[]
language sql immutable as $$ select '{try_send,try_send_batch,lock_ready,dead_ahead,try_read,try_pop,try_delete,try_archive,try_settle,try_set_vt,try_lock,keep,next_group,held_of,lock_group,group_left,queue_left,lock_grouped,look_below,first_ready,sweep_level,sweep,found_elsewhere,messages_of,count_messages}'::text[] $$
-- next
/* The functions of a storage, made from the shared ones: other tables, other names, and a call that was passed on to its
   storage has arrived. Only the name and the body change: the schema may be called what a table is. */
create or replace function {schema}.cloned(p_storage int) returns table (signature text, definition text)
language plpgsql stable set search_path = {schema}, pg_temp set standard_conforming_strings = on as $$
#variable_conflict use_column
declare
  v_names text := array_to_string(storage_functions(), '|');
  v_archive text := archive_table(p_storage);
  f record;
  v_body text;
  v_text text;
begin
  for f in
    select proname, prosrc, pg_get_functiondef(oid) as definition, pg_get_function_identity_arguments(oid) as arguments
      from pg_proc where pronamespace = own_schema() and proname = any (storage_functions()) order by proname
  loop
    v_body := regexp_replace(f.prosrc, '\m(' || v_names || ')\(', '\1_s' || p_storage || '(', 'g');
    v_body := regexp_replace(v_body, '\mmessage(_[01])?\M', 'message_s' || p_storage || '\1', 'g');
    v_body := regexp_replace(v_body, '\mq\.storage <> 0\M', 'q.storage <> ' || p_storage, 'g');
    v_body := regexp_replace(v_body, '\marchive( \(queue|\.id)', v_archive || '\1', 'g');
    v_text := replace(f.definition, own(f.proname) || '(', own(f.proname || '_s' || p_storage) || '(');
    v_text := replace(replace(v_text, f.prosrc, v_body), E'\n SECURITY DEFINER', '');
    return query select format('%I(%s)', f.proname || '_s' || p_storage, f.arguments), v_text;
  end loop;
end
$$
-- next
create or replace function {schema}.clone_functions(p_storage int) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  f record;
begin
  for f in select * from cloned(p_storage) loop
    execute f.definition;
    execute format('revoke all on function %s from public', f.signature);
  end loop;
end
$$
-- next
/* For verify: what is missing or changed in dedicated storages and streams. */
create or replace function {schema}.storage_differences() returns setof text
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  s storage;
begin
  for s in select st.* from storage st join queue q on q.storage = st.id where st.id <> 0 and q.dropped_at is null order by st.id loop
    return query select format('table %s: missing', t) from (values
        (message_table(s.id)), (message_table(s.id) || '_0'), (case s.layout when 'ring' then message_table(s.id) || '_1' end),
        (case when s.layout <> 'ring' then message_table(s.id) || '_0_default' end),
        (case when s.own_archive then archive_table(s.id) end)) as tables(t) where t is not null and own_relation(t) is null;
    return query select format('index %s: missing', i) from (values
        (message_table(s.id) || '_pkey'), (message_table(s.id) || '_claim'), (message_table(s.id) || '_group_order'),
        (message_table(s.id) || '_group_ready'), (message_table(s.id) || '_group_held')) as indexes(i) where own_relation(i) is null;
    return query select format('function %s: %s', c.signature, case when p.oid is null then 'missing' else 'is not as its like of the shared storage' end)
      from cloned(s.id) c left join pg_proc p on p.pronamespace = own_schema()
                                          and format('%I(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) = c.signature
     where p.oid is null or pg_get_functiondef(p.oid) <> c.definition;
  end loop;
  return query select event_table_differences();
end
$$
-- next
/* Ids of a dedicated storage are its own, from its number on: unique in the installation, and an interval counts its messages. */
create or replace function {schema}.first_id(p_storage int) returns bigint
language sql immutable as $$ select p_storage::bigint << 40 $$
-- next
create or replace function {schema}.create_storage(p_wanted {schema}.storage) returns int
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s storage;
  v_table text;
  v_kind text := case when p_wanted.unlogged then 'unlogged' else '' end;
begin
  insert into storage (layout, unlogged, width, keep, unread, own_archive)
  values (p_wanted.layout, p_wanted.unlogged, p_wanted.width, p_wanted.keep, p_wanted.unread, p_wanted.own_archive)
  returning * into s;
  v_table := message_table(s.id);
  execute format('create sequence %I minvalue %s', 'message_id_s' || s.id, first_id(s.id));
  execute format('create table %I (like message including defaults, primary key (queue, id, segment%s)) partition by list (segment)',
    v_table, case when s.layout = 'time' then ', enqueued_at' end);
  execute format('alter table %I alter id set default nextval(%L)', v_table, format('%I.%I', current_schema(), 'message_id_s' || s.id));
  execute format('create index %I on %I (queue, priority, vt, id) where vt < ''infinity''', v_table || '_claim', v_table);
  execute format('create index %I on %I (queue, grp, id) where grp is not null', v_table || '_group_order', v_table);
  execute format('create index %I on %I (queue, grp, priority, vt, id) where grp is not null and isfinite(vt)', v_table || '_group_ready', v_table);
  execute format('create index %I on %I (queue, grp) where grp is not null and lease is not null', v_table || '_group_held', v_table);
  if s.layout = 'ring' then
    execute format('create %s table %I partition of %I for values in (0) %s', v_kind, v_table || '_0', v_table, leaf_settings());
    execute format('create %s table %I partition of %I for values in (1) %s', v_kind, v_table || '_1', v_table, leaf_settings());
  else
    execute format('create table %I partition of %I for values in (0) partition by range (%I)', v_table || '_0', v_table,
      case s.layout when 'id' then 'id' else 'enqueued_at' end);
    execute format('create %s table %I partition of %I default %s', v_kind, v_table || '_0_default', v_table || '_0', leaf_settings());
    execute format('create index on %I (%I)', v_table || '_0_default', case s.layout when 'id' then 'id' else 'enqueued_at' end);
  end if;
  if s.own_archive then
    execute format('create table %I (like archive including defaults including constraints) partition by range (%I)',
      'archive_s' || s.id, case s.layout when 'id' then 'id' else 'archived_at' end);
    execute format('create table %I partition of %I default', format('archive_s%s_default', s.id), 'archive_s' || s.id);
    execute format('create index on %I (%I)', format('archive_s%s_default', s.id), case s.layout when 'id' then 'id' else 'archived_at' end);
    execute format('create index %I on %I (queue, id)', format('archive_s%s_message', s.id), 'archive_s' || s.id);
    execute format('create index %I on %I (queue, id) where outcome = ''dead''', format('archive_s%s_dead', s.id), 'archive_s' || s.id);
  end if;
  insert into segment (storage, generation, current, live, at) values (s.id, 1, 0, '{0}', clock());
  perform clone_functions(s.id);
  perform make_range(parent, n, false) from partition_steps(s.id) where step = 'make';
  return s.id;
end
$$
-- next
create or replace function {schema}.leaf_settings() returns text
language sql immutable as $$
  select 'with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0)'
$$
-- next
/* Its archive may outlive the rest. */
create or replace function {schema}.drop_storage(p_storage int, p_keep_archive boolean) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_function text;
begin
  for v_function in
    select format('%I(%s)', proname, pg_get_function_identity_arguments(oid)) from pg_proc
     where pronamespace = own_schema() and proname in (select unnest(storage_functions()) || '_s' || p_storage)
  loop
    execute 'drop function ' || v_function;
  end loop;
  execute format('drop table %I', message_table(p_storage));
  execute format('drop sequence %I', 'message_id_s' || p_storage);
  delete from segment where storage = p_storage;
  if not p_keep_archive and archive_table(p_storage) <> 'archive' then
    execute format('drop table %I', archive_table(p_storage));
    update storage set own_archive = false where id = p_storage;
  end if;
end
$$
