/* A value as JSON that reads back exact: bigint and numeric are strings, wherever they are in it, since they lose digits in JavaScript. */
create or replace function {schema}.exact(p jsonb, p_type oid) returns jsonb
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  t record;
begin
  if jsonb_typeof(p) not in ('number', 'array', 'object') then
    return p;
  elsif p_type in ('bigint'::regtype, 'numeric'::regtype) then
    return to_jsonb(p #>> '{}');
  end if;
  select oid, typtype, typcategory, typbasetype, typelem, typrelid into t from pg_type where oid = p_type;
  if t.typtype = 'd' then
    return exact(p, t.typbasetype);
  elsif t.typcategory = 'A' and jsonb_typeof(p) = 'array' then
    /* The dimensions of an array are not in its type. */
    return (select coalesce(jsonb_agg(exact(v, case jsonb_typeof(v) when 'array' then t.oid else t.typelem end) order by n), '[]') from jsonb_array_elements(p) with ordinality e(v, n));
  elsif t.typcategory = 'A' then
    return exact(p, t.typelem);
  elsif t.typtype = 'c' then
    return (select coalesce(jsonb_object_agg(k, exact(v, a.atttypid)), '{}') from jsonb_each(p) e(k, v) join pg_attribute a on a.attrelid = t.typrelid and a.attname = k);
  end if;
  return p;
end
$$
-- next
/* A row of a table, exact. */
create or replace function {schema}.exact_row(p_table oid, p_row jsonb, p_columns text[], p_ignored text[]) returns jsonb
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  v_row jsonb := p_row - p_ignored;
begin
  if p_columns is not null then
    v_row := (select coalesce(jsonb_object_agg(k, v), '{}') from jsonb_each(v_row) e(k, v) where k = any (p_columns));
  end if;
  return v_row || coalesce((
    select jsonb_object_agg(attname, case when atttypid in ('bigint'::regtype, 'numeric'::regtype) then to_jsonb(v_row->>attname) else exact(v_row->attname, atttypid) end) from pg_attribute
     where attrelid = p_table and attnum > 0 and not attisdropped and jsonb_typeof(v_row->attname) in ('number', 'array', 'object')
       and atttypid <> all ('{int,json,jsonb,float8,int[],text[]}'::regtype[])), '{}');
end
$$
-- next
/* The text of one column; of more the JSON array of them. */
create or replace function {schema}.key_text(p_row jsonb, p_key text[]) returns text
language plpgsql immutable set search_path = {schema}, pg_temp as $$
begin
  if cardinality(p_key) = 1 then
    return p_row->>p_key[1];
  elsif p_row is not null and p_key <> '{}' then
    return (select jsonb_agg(p_row->>k order by n)::text from unnest(p_key) with ordinality t(k, n));
  end if;
  return null;
end
$$
-- next
/* The first of the two triggers of a capture. Whoever writes to the table runs it, and so what the table's owner has written: the expressions,
   the casts of his types to JSON. Leaves the row to the second, which runs as Sluice's owner and evaluates nothing. The writer
   needs no right in this schema, so nothing of it is named here. */
create or replace function {schema}.capture_row() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp set timezone = 'UTC' set bytea_output = 'hex' set extra_float_digits = 1 set intervalstyle = 'postgres' as $$
declare
  o jsonb := tg_argv[0];
  r record;
  v_passes boolean := true;
  v_part text;
  v_expression text;
  v_value text;
  v_values jsonb := '{}';
begin
  if tg_op = 'DELETE' then
    r := old;
  else
    r := new;
  end if;
  if o ? 'when' then
    execute format(E'select (%s\n)::boolean from (select ($1).*) r', o->>'when') into v_passes using r;
  end if;
  if v_passes and o ?| '{type,data,extra1,extra2,extra3,extra4}' then
    for v_part, v_expression in select key, value from jsonb_each_text(o) where key in ('type', 'data', 'extra1', 'extra2', 'extra3', 'extra4') loop
      execute format(E'select (%s\n)::text from (select ($1).*) r', v_expression) into v_value using r;
      v_values := v_values || jsonb_build_object(v_part, v_value);
    end loop;
  end if;
  perform set_config('sluice.captured', jsonb_build_object('row', case when v_passes then to_jsonb(r) end,
    'before', case when v_passes and tg_op = 'UPDATE' then to_jsonb(old) end, 'values', v_values)::text, true);
  return r;
end
$$
-- next
/* The second: records what happened to a row, or that all are gone, as the options say that admin.captureTable has put into its argument. */
create or replace function {schema}.capture() returns trigger
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  o jsonb := tg_argv[0];
  v_given jsonb := case when tg_level = 'ROW' then nullif(current_setting('sluice.captured', true), '') end;
  v_values jsonb := coalesce(v_given->'values', '{}');
  v_row jsonb := nullif(v_given->'row', 'null');
  v_before jsonb := nullif(v_given->'before', 'null');
  v_ignored text[] := (o->>'ignore')::text[];
  v_columns text[] := (o->>'columns')::text[];
  v_recorded boolean := tg_level = 'STATEMENT' or v_row is not null and (v_before is null or v_row = v_before or v_row - v_ignored <> v_before - v_ignored);
begin
  perform set_config('sluice.captured', '', true);
  if current_setting('session_replication_role') = 'local' then
    v_recorded := false;
  elsif o->'deny' = 'true' then
    raise exception 'Changes of % are denied here.', o->>'table' using errcode = 'SL022';
  elsif tg_level = 'ROW' and v_given is null then
    raise exception 'The triggers of the capture of % do not follow one another: capture it again.', o->>'table' using errcode = 'SL022';
  end if;
  if v_recorded then
    perform record_change(o, coalesce(v_values->>'type', (o->>'prefix') || '.' || lower(tg_op)),
      case when v_values ? 'data' then (v_values->>'data')::jsonb when v_row is not null then exact_row(tg_relid, v_row, v_columns, v_ignored) end,
      array[
        case when v_values ? 'extra1' then v_values->>'extra1' else o->>'table' end,
        case when v_values ? 'extra2' then v_values->>'extra2' when o->'old' = 'true' and v_before is not null then exact_row(tg_relid, v_before, v_columns, v_ignored)::text end,
        v_values->>'extra3', v_values->>'extra4'],
      key_text(coalesce(v_before, v_row), (o->>'key')::text[]));
  end if;
  /* Of a trigger before the change null is what keeps it from being made; after it, nothing depends on this. */
  return case when v_recorded then null when tg_op = 'DELETE' then old else new end;
end
$$
-- next
/* The stream that was dropped from under a capture was dropped by force: writes to the table go on. */
create or replace function {schema}.record_change(o jsonb, p_type text, p_data jsonb, p_extra text[], p_key text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue := stream_of(o->>'stream');
  v_fault jsonb;
begin
  if q.id = (o->>'id')::int then
    v_fault := publish_fault(q, q.name, 1);
    if v_fault->>'code' is distinct from 'stream_not_found' then
      perform raise_fault(coalesce(v_fault, argument_fault('type', length(p_type) between 1 and 255)));
      perform append_event(q, p_type, p_data, p_extra, p_key, null);
    end if;
  end if;
end
$$
-- next
/* What of a capture cannot be meant: a table without a key that updates could name, columns that there are not. */
create or replace function {schema}.capture_fault(p_stream text, p_table regclass, p_options jsonb) returns jsonb
language plpgsql stable set search_path = {schema}, pg_temp as $$
declare
  c pg_class;
  v_other text;
  v_column text;
begin
  select * into c from pg_class where oid = p_table;
  if c.relkind not in ('r', 'p') or c.relnamespace = own_schema() then
    return jsonb_build_object('field', 'table', 'reason', case when c.relkind in ('r', 'p') then 'is a table of Sluice''s' else 'is no table' end);
  end if;
  select relation::regclass::text into v_other from captures_of(p_stream)
   where relation <> p_table and not inherited and relation in (select relid from pg_partition_tree(p_table) union select relid from pg_partition_ancestors(p_table)) limit 1;
  if found then
    return jsonb_build_object('field', 'table', 'reason', format('is captured already, as %s is', v_other));
  end if;
  select x into v_column from jsonb_each(p_options) o, jsonb_array_elements_text(case when o.key in ('key', 'ignore', 'columns') then o.value else '[]' end) x
   where not exists (select from pg_attribute where attrelid = p_table and attname = x and attnum > 0 and not attisdropped) limit 1;
  if found then
    return jsonb_build_object('field', 'columns', 'reason', format('has no column "%s"', v_column));
  end if;
  if not p_options ? 'key' and not exists (select from pg_index where indrelid = p_table and indisprimary) then
    return jsonb_build_object('field', 'key', 'reason', 'has no primary key: say which columns name a row, or key: [] if none do');
  end if;
  return null;
end
$$
-- next
/* An expression that does not compile, for whoever captures the table and under the search_path of the trigger. */
create or replace function {schema}.expression_fault(p_table regclass, p_options jsonb) returns jsonb
language plpgsql volatile set search_path = pg_catalog, pg_temp as $$
declare
  v_part text;
  v_expression text;
begin
  for v_part, v_expression in select key, value from jsonb_each_text(p_options) where key in ('when', 'type', 'data', 'extra1', 'extra2', 'extra3', 'extra4') loop
    begin
      execute format(E'select (%s\n)%s from %s r limit 0', v_expression, case v_part when 'when' then '::boolean' when 'data' then '::text::jsonb' else '::text' end, p_table);
    exception when syntax_error_or_access_rule_violation or data_exception or feature_not_supported then
      return jsonb_build_object('code', 'capture', 'field', case v_part when 'when' then v_part else 'expressions.' || v_part end, 'table', p_table::text, 'reason', 'cannot be evaluated: ' || sqlerrm);
    end;
  end loop;
  return null;
end
$$
-- next
/* The statements that make the triggers of a capture; the first ones remove those of an earlier one. p_options null: no more. */
create or replace function {schema}.capture_plan(p_stream text, p_table regclass, p_options jsonb, out fault jsonb, out existed boolean, out statements text[])
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  q queue := stream_of(p_stream);
  o jsonb;
begin
  /* Of two at the same moment one would find the triggers of the other there already. */
  perform pg_advisory_xact_lock(lock_space('capture'), hashoid(p_table));
  statements := array(select format('drop trigger if exists %I on %s', name, p_table) from captures_of(p_stream) where relation = p_table and not inherited order by name);
  existed := statements <> '{}';
  /* A stream that is gone may have left triggers. */
  fault := case when q.id is null and (p_options is not null or not existed) then queue_fault(p_stream, 'stream') 
    else jsonb_build_object('code', 'capture', 'table', p_table::text) || case when p_options is not null then capture_fault(p_stream, p_table, p_options) end end;
  if fault is not null or p_options is null then
    return;
  end if;
  /* Lists as array literals, which the trigger reads fastest. */
  o := p_options || coalesce((select jsonb_object_agg(key, array(select jsonb_array_elements_text(value))::text) from jsonb_each(p_options) where key in ('key', 'ignore', 'columns')), '{}')
    || (select jsonb_build_object('stream', q.name, 'id', q.id, 'table', n.nspname || '.' || c.relname, 'prefix', c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = p_table);
  if not o ? 'key' then
    o := o || jsonb_build_object('key', array(select a.attname from pg_index i, unnest(i.indkey) with ordinality k(attnum, n)
      join pg_attribute a on a.attnum = k.attnum where i.indrelid = p_table and i.indisprimary and a.attrelid = p_table order by k.n)::text);
  end if;
  /* Triggers fire in order of their names. No other stream's come in between these two: after the digits of one there is no letter. */
  statements := statements || array(
    select format('create trigger %I %s insert or update or delete on %s for each row execute function %I.%I(%L)',
        'sluice_capture_' || q.id || part, case when o->'skip' = 'true' then 'before' else 'after' end, p_table, current_schema(), function, o)
      from (values ('a', 'capture_row'), ('b', 'capture')) t(part, function) order by part)
    || format('create trigger %I after truncate on %s for each statement execute function %I.capture(%L)', 'sluice_capture_' || q.id || 't', p_table, current_schema(), o);
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
    fault := coalesce(v_plan.fault, expression_fault(p_table, p_options));
  end if;
  if fault is null then
    existed := v_plan.existed;
    foreach v_statement in array v_plan.statements loop
      execute v_statement;
    end loop;
  end if;
  return next;
end
$$
