/* Where dead messages of a queue lie: first its dead-letter queue, then the archive. Each as a text that finds some, locked. */
create or replace function {schema}.dead_sources(q {schema}.queue) returns table (source text, tab text, query text)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  d queue;
  v_matches text := '($3 is null or m.id = any ($3)) and ($4->''headers'' is null or coalesce(m.headers, ''{}'') @> ($4->''headers''))
    and ($4->''payload'' is null or m.payload @> ($4->''payload'')) order by m.id limit $5 for update skip locked';
begin
  select * into d from queue where id = q.dead_letter and dropped_at is null;
  if d.id is not null and hold_storage(d) then
    source := 'deadLetter';
    tab := message_table(d.storage);
    query := format('select m.id, m.priority, m.attempt, m.enqueued_at, m.headers, m.payload, m.errors from %I m
      where m.queue = %s and m.origin = $1 and message_state(m.lease, m.vt, $2) <> ''inFlight'' and %s', tab, d.id, v_matches);
    return next;
  end if;
  source := 'archive';
  tab := archive_table(q.storage);
  query := format('select m.id, m.priority, m.attempt, m.enqueued_at, m.headers, m.payload, m.errors from %I m
    where m.queue = $1 and m.archived_at <= $2 + interval ''1 day'' and m.outcome = ''dead'' and %s', tab, v_matches);
  return next;
end
$$
-- next
/* Brings dead messages of a queue back to it, by ids or a filter or all, oldest first: same id, attempts from 0, ready now, with
   the errors they had. A lease from before they died is stale. With p_preview nothing is changed. */
create or replace function {schema}.try_redrive(p_queue text, p_ids bigint[], p_filter jsonb, p_limit int, p_preview boolean)
returns table (fault jsonb, item jsonb)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  q queue;
  w record;
  r record;
  v_now timestamptz := clock();
  v_items jsonb[];
  v_ids bigint[];
  v_left int := p_limit;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::jsonb;
    return;
  end if;
  for w in select * from dead_sources(q) loop
    exit when v_left <= 0;
    execute format('select array_agg(f.id order by f.id), array_agg(jsonb_build_object(''id'', f.id::text, ''source'', %L, ''priority'', f.priority, ''attempt'', f.attempt,
        ''enqueuedAt'', extract(epoch from f.enqueued_at) * 1000, ''headers'', coalesce(f.headers, ''{}''), ''payload'', f.payload, ''errors'', coalesce(f.errors, ''[]'')) order by f.id)
      from (%s) f', w.source, w.query) into v_ids, v_items using q.id, v_now, p_ids, p_filter, v_left;
    continue when v_ids is null;
    if not p_preview then
      execute format('with gone as (delete from %I m where m.id = any ($1) and m.queue = %s returning m.*)
        insert into %I (segment, queue, id, priority, vt, enqueued_at, headers, payload, errors, grp, group_name, key)
        select (select current from segment where storage = $2 order by generation desc limit 1),
               $3, id, least(priority, $4 - 1), $5, enqueued_at, headers, payload, errors, group_of($6, group_name), group_name, key from gone',
        w.tab, case w.source when 'archive' then '$3' else q.dead_letter::text end, message_table(q.storage))
        using v_ids, q.storage, q.id, q.levels, v_now, q.ungrouped;
      for r in execute format('select id, key from %I where queue = $1 and id = any ($2) and key is not null order by key', message_table(q.storage)) using q.id, v_ids loop
        perform take_key(q, r.key, r.id, v_now);
      end loop;
      update dependency set failed = false where queue = q.id and parent = any (v_ids);
    end if;
    v_left := v_left - cardinality(v_ids);
    return query select null::jsonb, unnest(v_items);
  end loop;
  if v_left < p_limit and not p_preview then
    perform pg_notify(current_schema() || '_wake', q.name);
  end if;
end
$$
-- next
/* How many came back. */
create or replace function {schema}.redrive(queue text, "limit" int default 1000, filter jsonb default null) returns int
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
  v_count int := 0;
begin
  perform raise_fault(coalesce(argument_fault('limit', "limit" >= 0), filter_fault(filter)));
  for v in select * from try_redrive(queue, null, filter, "limit", false) loop
    perform raise_fault(v.fault);
    v_count := v_count + 1;
  end loop;
  return v_count;
end
$$
