/* Where dead messages of a queue lie: first its dead-letter queue, then the archive. Each as a text that finds some, and how it
   locks them. */
create or replace function {schema}.dead_sources(q {schema}.queue) returns table (source text, storage int, tab text, query text)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
#variable_conflict use_column
declare
  d queue;
  v_columns text := 'm.id, m.priority, m.attempt, m.enqueued_at, m.headers, m.payload, m.errors';
  v_matches text := '($3 is null or m.id = any ($3)) and ($4->''headers'' is null or coalesce(m.headers, ''{}'') @> ($4->''headers''))
    and ($4->''payload'' is null or m.payload @> ($4->''payload'')) order by m.id limit $5';
begin
  select * into d from queue where id = q.dead_letter and dropped_at is null;
  if d.id is not null and hold_storage(d) then
    return query select 'deadLetter', d.storage, message_table(d.storage), format('select %s from %I m
      where m.queue = %s and m.origin = $1 and message_state(m.lease, m.vt, $2) <> ''inFlight'' and %s', v_columns, message_table(d.storage), d.id, v_matches);
  end if;
  return query select 'archive', null::int, archive_table(q.storage), format('select %s from %I m
    where m.queue = $1 and m.outcome = ''dead'' and %s', v_columns, archive_table(q.storage), v_matches);
end
$$
-- next
/* Nothing died in a queue where others bury their dead: theirs were meant. */
create or replace function {schema}.redrive_fault(q {schema}.queue) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_buries text[] := array(select name from queue where dead_letter = q.id and dropped_at is null order by name);
  w record;
  v_found boolean;
begin
  if q.dead_letter is not null or v_buries = '{}' then
    return null;
  end if;
  for w in select * from dead_sources(q) loop
    execute format('select exists (%s)', w.query) into v_found using q.id, clock(), null::bigint[], null::jsonb, 1;
    if v_found then
      return null;
    end if;
  end loop;
  return jsonb_build_object('code', 'nothing_died', 'queue', q.name, 'deadLetterOf', v_buries);
end
$$
-- next
/* Brings dead messages of a queue back to it, by ids or a filter or all, oldest first: same id, attempts from 0, ready now, with
   the errors they had. A lease from before they died is stale, and so is a note that they are to be cancelled. With p_preview
   nothing is changed, nor locked. */
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
  v_generation bigint;
  v_items jsonb[];
  v_all jsonb[] := '{}';
  v_ids bigint[];
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::jsonb;
    return;
  end if;
  for w in select * from dead_sources(q) loop
    exit when cardinality(v_all) >= p_limit;
    select max(generation) into v_generation from segment where storage = w.storage;
    for v_pass in 1 .. 2 loop
      execute format('select array_agg(f.id order by f.id), array_agg(jsonb_build_object(''id'', f.id::text, ''source'', %L, ''priority'', f.priority, ''attempt'', f.attempt,
          ''enqueuedAt'', extract(epoch from f.enqueued_at) * 1000, ''headers'', coalesce(f.headers, ''{}''), ''payload'', f.payload, ''errors'', coalesce(f.errors, ''[]'')) order by f.id)
        from (%s) f', w.source, w.query || case when p_preview then '' else ' for update skip locked' end)
        into v_ids, v_items using q.id, v_now, p_ids, p_filter, p_limit - cardinality(v_all);
      if v_ids is not null and not p_preview then
        execute format('with gone as (delete from %I m where m.id = any ($1) and m.queue = $6 returning m.*)
          insert into %I (segment, queue, id, priority, vt, enqueued_at, headers, payload, errors, grp, group_name, key)
          select (select current from segment where storage = $2 order by generation desc limit 1),
                 $3, id, least(priority, $4 - 1), $5, enqueued_at, headers, payload, errors, group_of($7, group_name), group_name, key from gone', w.tab, message_table(q.storage))
          using v_ids, q.storage, q.id, q.levels, v_now, case w.source when 'archive' then q.id else q.dead_letter end, q.ungrouped;
        for r in execute format('select id, key from %I where queue = $1 and id = any ($2) and key is not null order by key', message_table(q.storage)) using q.id, v_ids loop
          perform take_key(q, r.key, r.id, v_now);
        end loop;
        delete from cancellation where queue in (q.id, q.dead_letter) and id = any (v_ids);
        update dependency set failed = false where queue = q.id and parent = any (v_ids);
        if w.source = 'deadLetter' then
          perform left_queue((select d from queue d where d.id = q.dead_letter), v_ids, false);
        end if;
      end if;
      v_all := v_all || v_items;
      exit when p_preview or v_pass = 2 or cardinality(v_all) >= p_limit or w.storage is null or not flipping(w.storage, v_generation);
      /* What it moves right now is locked, and lies in the other segment when it is done. */
      perform pg_advisory_xact_lock_shared(lock_space('flip'), w.storage);
    end loop;
  end loop;
  if v_all = '{}' then
    return query select f, null::jsonb from redrive_fault(q) f where f is not null;
  elsif not p_preview then
    perform pg_notify(current_schema() || '_wake', q.name);
  end if;
  return query select null::jsonb, unnest(v_all);
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
