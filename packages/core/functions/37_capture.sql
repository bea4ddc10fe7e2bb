/* Numbers as strings, wherever they are: a bigint or numeric loses digits in JavaScript. */
create or replace function {schema}.numbers_as_text(p jsonb) returns jsonb
language plpgsql immutable set search_path = {schema}, pg_temp as $$
begin
  return case jsonb_typeof(p)
    when 'number' then to_jsonb(p #>> '{}')
    when 'array' then (select coalesce(jsonb_agg(numbers_as_text(v) order by n), '[]') from jsonb_array_elements(p) with ordinality e(v, n))
    when 'object' then (select coalesce(jsonb_object_agg(k, numbers_as_text(v)), '{}') from jsonb_each(p) e(k, v))
    else p end;
end
$$
-- next
/* What a type is at its bottom: of a domain its base, of an array its element. */
create or replace function {schema}.bottom_type(p_type oid) returns pg_catalog.pg_type
language sql stable set search_path = {schema}, pg_temp as $$
  with recursive down (t, depth) as (
    select t, 0 from pg_type t where t.oid = p_type
    union all
    select n, depth + 1 from down d join pg_type n on n.oid = case when (d.t).typtype = 'd' then (d.t).typbasetype when (d.t).typcategory = 'A' then (d.t).typelem end)
  select (t).* from down order by depth desc limit 1
$$
-- next
/* A row of a table as JSON that reads back exact. */
create or replace function {schema}.exact_row(p_table oid, p_row jsonb, p_columns text[], p_ignored text[]) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select coalesce(jsonb_object_agg(j.key, case
           when jsonb_typeof(j.value) in ('number', 'array', 'object')
            and ((bottom_type(a.atttypid)).typtype = 'c' or (bottom_type(a.atttypid)).oid in ('bigint'::regtype, 'numeric'::regtype, 'money'::regtype)) then numbers_as_text(j.value)
           else j.value end), '{}')
    from jsonb_each(p_row) j join pg_attribute a on a.attrelid = p_table and a.attname = j.key and not a.attisdropped
   where (p_columns is null or j.key = any (p_columns)) and not j.key = any (p_ignored)
$$
-- next
/* The text of one column; of more the JSON array of them. */
create or replace function {schema}.key_text(p_row jsonb, p_key text[]) returns text
language sql immutable set search_path = {schema}, pg_temp as $$
  select case cardinality(p_key) when 0 then null when 1 then p_row->>p_key[1]
    else (select jsonb_agg(p_row->>k order by n)::text from unnest(p_key) with ordinality t(k, n)) end
$$
-- next
/* Records what happens to the rows of a table as events, as the options say that admin.captureTable has put into its argument. */
create or replace function {schema}.capture() returns trigger
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  o jsonb := tg_argv[0];
  v_table text := o->>'table';
  v_row jsonb := case when tg_level = 'ROW' then to_jsonb(case tg_op when 'DELETE' then old else new end) end;
  v_before jsonb := case when tg_op = 'UPDATE' then to_jsonb(old) end;
  v_key text[] := array(select jsonb_array_elements_text(o->'key'));
  v_ignored text[] := array(select jsonb_array_elements_text(o->'ignore'));
  v_columns text[] := case when o ? 'columns' then array(select jsonb_array_elements_text(o->'columns')) end;
  v_values text[];
  v_expression text;
  v_data jsonb;
  v_passes boolean := true;
begin
  if o->'deny' = 'true' then
    raise exception 'Changes of % are denied here.', v_table using errcode = 'SL022';
  elsif current_setting('session_replication_role') = 'local' or tg_op = 'UPDATE' and v_row is distinct from v_before and v_row - v_ignored = v_before - v_ignored then
    v_row := null;
  elsif v_row is not null and o ? 'when' then
    execute format('select (%s)::boolean from (select ($1).*) r', o->>'when') into v_passes using case tg_op when 'DELETE' then old else new end;
  end if;
  /* Of a trigger before the change null is what keeps it from being made; after it, nothing depends on this. */
  if tg_level = 'ROW' and (v_row is null or v_passes is not true) then
    if tg_op = 'DELETE' then
      return old;
    end if;
    return new;
  end if;
  if v_row is not null then
    v_data := exact_row(tg_relid, v_row, v_columns, v_ignored);
    for v_expression in select o->>k from unnest('{type,data,extra1,extra2,extra3,extra4}'::text[]) with ordinality t(k, n) order by n loop
      if v_expression is not null then
        execute format('select (%s)::text from (select ($1).*) r', v_expression) into v_expression using case tg_op when 'DELETE' then old else new end;
      end if;
      v_values := v_values || v_expression;
    end loop;
  end if;
  perform insert_event(o->>'stream', coalesce(v_values[1], (o->>'prefix') || '.' || lower(tg_op)),
    case when o ? 'data' and v_row is not null then v_values[2]::jsonb else v_data end,
    coalesce(v_values[3], v_table),
    coalesce(v_values[4], case when o->'old' = 'true' and v_before is not null then exact_row(tg_relid, v_before, v_columns, v_ignored)::text end),
    v_values[5], v_values[6], key_text(coalesce(v_before, v_row), v_key));
  return null;
end
$$
-- next
/* What of a capture cannot be meant: a table without a key that updates could name, columns that there are not, expressions that do not compile. */
create or replace function {schema}.capture_fault(p_table regclass, p_options jsonb) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_column text;
  v_expression text;
begin
  if (select relkind from pg_class where oid = p_table) not in ('r', 'p') then
    return jsonb_build_object('code', 'capture', 'field', 'table', 'table', p_table::text, 'reason', 'is no table');
  end if;
  select c into v_column from jsonb_each(p_options) o, jsonb_array_elements_text(case when o.key in ('key', 'ignore', 'columns') then o.value else '[]' end) c
   where not exists (select from pg_attribute where attrelid = p_table and attname = c and attnum > 0 and not attisdropped) limit 1;
  if found then
    return jsonb_build_object('code', 'capture', 'field', 'columns', 'table', p_table::text, 'reason', format('has no column "%s"', v_column));
  end if;
  if not p_options ? 'key' and not exists (select from pg_index where indrelid = p_table and indisprimary) then
    return jsonb_build_object('code', 'capture', 'field', 'key', 'table', p_table::text, 'reason', 'has no primary key: say which columns name a row, or key: [] if none do');
  end if;
  for v_column, v_expression in select key, value from jsonb_each_text(p_options) where key in ('when', 'type', 'data', 'extra1', 'extra2', 'extra3', 'extra4') loop
    begin
      execute format('select (%s)%s from %s r limit 0', v_expression, case v_column when 'when' then '::boolean' when 'data' then '::text::jsonb' else '::text' end, p_table);
    exception when syntax_error_or_access_rule_violation or data_exception or feature_not_supported then
      return jsonb_build_object('code', 'capture', 'field', v_column, 'table', p_table::text, 'reason', 'cannot be evaluated: ' || sqlerrm);
    end;
  end loop;
  return null;
end
$$
-- next
/* The statements that make the triggers of a capture; the first one removes those of an earlier one. */
create or replace function {schema}.capture_plan(p_stream text, p_table regclass, p_options jsonb, out fault jsonb, out statements text[])
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue := stream_of(p_stream);
  o jsonb := p_options;
begin
  fault := case when q.id is null then queue_fault(p_stream, 'stream') end;
  if fault is not null then
    return;
  end if;
  statements := array[format('drop trigger if exists %I on %s', 'sluice_capture_' || q.id, p_table), format('drop trigger if exists %I on %s', 'sluice_truncate_' || q.id, p_table)];
  if p_options is null then
    return;
  end if;
  if not o ? 'key' then
    o := o || jsonb_build_object('key', (select coalesce(jsonb_agg(a.attname order by k.n), '[]') from pg_index i, unnest(i.indkey) with ordinality k(attnum, n)
      join pg_attribute a on a.attnum = k.attnum where i.indrelid = p_table and i.indisprimary and a.attrelid = p_table));
  end if;
  o := (select o || jsonb_build_object('stream', q.name, 'table', n.nspname || '.' || c.relname, 'prefix', c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = p_table);
  statements := statements || array[
    format('create trigger %I %s insert or update or delete on %s for each row execute function %I.capture(%L)', 'sluice_capture_' || q.id, case when o->'skip' = 'true' then 'before' else 'after' end, p_table, current_schema(), o),
    format('create trigger %I after truncate on %s for each statement execute function %I.capture(%L)', 'sluice_truncate_' || q.id, p_table, current_schema(), o)];
end
$$
-- next
/* Installs the triggers, as whoever calls it: the table is his. p_options null: removes them. existed: whether there were any. */
create or replace function {schema}.try_capture_table(p_stream text, p_table regclass, p_name text, p_options jsonb) returns table (fault jsonb, existed boolean)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_plan record;
  v_statement text;
begin
  fault := case when p_table is null then jsonb_build_object('code', 'capture', 'field', 'table', 'table', p_name, 'reason', 'does not exist') end;
  if fault is null then
    select * into v_plan from capture_plan(p_stream, p_table, p_options);
    fault := coalesce(v_plan.fault, case when p_options is not null then capture_fault(p_table, p_options) end);
  end if;
  if fault is null then
    existed := exists (select from pg_trigger where tgrelid = p_table and not tgisinternal and v_plan.statements[1] = format('drop trigger if exists %I on %s', tgname, p_table));
    foreach v_statement in array v_plan.statements loop
      execute v_statement;
    end loop;
  end if;
  return next;
end
$$
