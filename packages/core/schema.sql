-- Made by scripts/generate.ts from an installation of packages/core/migrations. Do not edit; nobody runs it.

-- column archive.archived_at: timestamp with time zone not null
-- column archive.attempt: integer not null
-- column archive.enqueued_at: timestamp with time zone not null
-- column archive.errors: jsonb
-- column archive.headers: jsonb
-- column archive.id: bigint not null
-- column archive.origin: integer
-- column archive.outcome: text not null
-- column archive.payload: jsonb not null
-- column archive.priority: smallint not null
-- column archive.queue: integer not null
-- column delivery.attempt: integer
-- column delivery.enqueued_at: timestamp with time zone
-- column delivery.headers: jsonb
-- column delivery.id: bigint
-- column delivery.lease: bigint
-- column delivery.payload: jsonb
-- column delivery.priority: integer
-- column delivery.visible_at: timestamp with time zone
-- column floor.priority: smallint not null
-- column floor.queue: integer not null
-- column floor.storage: integer not null
-- column floor.swept_at: timestamp with time zone not null
-- column floor.version: bigint not null generated always as identity
-- column floor.vt: timestamp with time zone not null
-- column message.attempt: integer not null default 0
-- column message.enqueued_at: timestamp with time zone not null
-- column message.errors: jsonb
-- column message.headers: jsonb
-- column message.id: bigint not null default nextval('message_id'::regclass)
-- column message.lease: bigint
-- column message.origin: integer
-- column message.payload: jsonb not null
-- column message.priority: smallint not null
-- column message.queue: integer not null
-- column message.segment: smallint not null
-- column message.vt: timestamp with time zone not null
-- column migration.applied_at: timestamp with time zone not null default clock_timestamp()
-- column migration.breaking: boolean not null
-- column migration.name: text not null
-- column migration.version: integer not null
-- column queue.created_at: timestamp with time zone not null
-- column queue.dead_letter: integer
-- column queue.deepest: smallint not null default 4
-- column queue.dropped_at: timestamp with time zone
-- column queue.id: integer not null generated always as identity
-- column queue.kind: text not null default 'work'::text
-- column queue.lease: interval not null default '00:00:30'::interval
-- column queue.levels: smallint not null default 4
-- column queue.max_attempts: integer default 20
-- column queue.name: text not null collate C
-- column queue.notify: text not null default 'off'::text
-- column queue.storage: integer not null default 0
-- column segment.at: timestamp with time zone not null
-- column segment.current: smallint not null
-- column segment.generation: bigint not null
-- column segment.live: smallint[] not null
-- column segment.storage: integer not null
-- constraint archive.archive_outcome_check: CHECK ((outcome = ANY (ARRAY['done'::text, 'dead'::text])))
-- constraint floor.floor_pkey: PRIMARY KEY (storage, queue, priority, version)
-- constraint message.message_pkey: PRIMARY KEY (queue, id, segment)
-- constraint migration.migration_pkey: PRIMARY KEY (version)
-- constraint queue.queue_check: CHECK (((deepest >= levels) AND (deepest <= 16)))
-- constraint queue.queue_check1: CHECK ((dead_letter <> id))
-- constraint queue.queue_dead_letter_fkey: FOREIGN KEY (dead_letter) REFERENCES queue(id)
-- constraint queue.queue_kind_check: CHECK ((kind = ANY (ARRAY['work'::text, 'stream'::text])))
-- constraint queue.queue_lease_check: CHECK (((lease > '00:00:00'::interval) AND isfinite(lease)))
-- constraint queue.queue_levels_check: CHECK (((levels >= 1) AND (levels <= 16)))
-- constraint queue.queue_max_attempts_check: CHECK ((max_attempts > 0))
-- constraint queue.queue_name_check: CHECK ((name ~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$'::text))
-- constraint queue.queue_notify_check: CHECK ((notify = ANY (ARRAY['off'::text, 'transaction'::text])))
-- constraint queue.queue_pkey: PRIMARY KEY (id)
-- constraint segment.segment_pkey: PRIMARY KEY (storage, generation)

-- function archive(queue text, id bigint, lease bigint)
returns void language plpgsql volatile search_path=<schema>, pg_temp as

declare
  v record;
begin
  select * into v from try_archive(queue, array[id], array[lease]);
  perform raise_fault(coalesce(v.fault, case when v.id is null then stale_fault(queue, id) end));
end



-- function archive_info(a archive)
returns jsonb language sql stable search_path=<schema>, pg_temp as

  select jsonb_build_object(
    'id', a.id::text, 'queue', (select name from queue where id = a.queue), 'outcome', a.outcome,
    'priority', a.priority, 'attempt', a.attempt, 'enqueuedAt', extract(epoch from a.enqueued_at) * 1000,
    'archivedAt', extract(epoch from a.archived_at) * 1000, 'origin', (select name from queue where id = a.origin),
    'headers', coalesce(a.headers, '{}'), 'payload', a.payload, 'errors', coalesce(a.errors, '[]'))



-- function argument_fault(p_argument text, p_fine boolean)
returns jsonb language sql immutable as

  select case when p_fine is not true then jsonb_build_object('code', 'invalid_argument', 'argument', p_argument) end



-- function bury(q queue, p_ids bigint[], p_spare bigint, p_now timestamp with time zone)
returns integer language plpgsql volatile search_path=<schema>, pg_temp, plan_cache_mode=force_generic_plan, enable_seqscan=off, enable_bitmapscan=off, jit=off as

#variable_conflict use_column
declare
  d queue;
  v_count int;
begin
  select * into d from queue where id = q.dead_letter and dropped_at is null;
  if d.id is null then
    with gone as (
      delete from message m
       where m.queue = q.id and m.id = any (p_ids) and m.attempt >= q.max_attempts and (p_spare is null or m.lease is distinct from p_spare)
      returning m.*)
    insert into archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors)
    select queue, id, p_now, 'dead', priority, attempt, enqueued_at, origin, headers, payload, errors from gone;
    get diagnostics v_count = row_count;
    return v_count;
  end if;
  with gone as (
    delete from message m
     where m.queue = q.id and m.id = any (p_ids) and m.attempt >= q.max_attempts and (p_spare is null or m.lease is distinct from p_spare)
    returning m.*)
  insert into message (segment, queue, id, priority, vt, enqueued_at, origin, headers, payload, errors)
  select (select current from segment where storage = d.storage order by generation desc limit 1),
         d.id, id, least(priority, d.levels - 1), p_now, enqueued_at, q.id, headers, payload, errors from gone;
  get diagnostics v_count = row_count;
  perform count_sent(d, v_count);
  return v_count;
end



-- function clock()
returns timestamp with time zone language sql volatile as
select clock_timestamp()


-- function count_queues(p_prefix text)
returns bigint language sql stable search_path=<schema>, pg_temp as

  select count(*) from queue q
   where q.dropped_at is null and q.kind = 'work' and (p_prefix is null or starts_with(q.name, p_prefix))



-- function count_sent(q queue, p_count integer)
returns void language plpgsql volatile search_path=<schema>, pg_temp as

declare
  /* Null under a snapshot so old that the queue is still in it but its counter is dropped; nextval of null does nothing. */
  v_counter regclass := to_regclass('sent_' || q.id);
  v_sent bigint;
begin
  for i in 1 .. p_count loop
    v_sent := nextval(v_counter);
  end loop;
  if q.notify = 'transaction' then
    perform pg_notify(current_schema() || '_wake', q.name);
  end if;
end



-- function create_queue(name text, options jsonb, OUT id integer, OUT created boolean)
returns record language plpgsql volatile search_path=<schema>, pg_temp defaults '{}'::jsonb as

declare
  v record;
begin
  perform raise_fault(options_fault(options));
  perform raise_fault(argument_fault('name', name ~ '^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$'));
  select * into v from try_create_queue(name, options, false);
  perform raise_fault(v.fault);
  id := (v.info->>'id')::int;
  created := v.created;
end



-- function dead_ahead(q queue, p_now timestamp with time zone)
returns bigint[] language plpgsql volatile search_path=<schema>, pg_temp, plan_cache_mode=force_generic_plan, enable_seqscan=off, enable_bitmapscan=off, enable_hashjoin=off, enable_mergejoin=off, enable_sort=off, jit=off as

declare
  v_live smallint[];
  v_ids bigint[];
begin
  select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
  v_ids := array(
    select r.id
      from generate_series(0, q.deepest - 1) l(level),
           lateral (
             select m.id, m.attempt from message m
              where m.queue = q.id and m.segment = any (v_live) and m.priority = l.level
                and m.vt < 'infinity' and m.vt <= p_now
                and m.vt >= coalesce((select f.vt from floor f
                                       where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                                       order by f.version desc limit 1), '-infinity')
              order by m.vt, m.id limit 1000) r
     where r.attempt >= q.max_attempts);
  return array(
    select m.id from message m
     where m.queue = q.id and m.id = any (v_ids) and m.attempt >= q.max_attempts and m.vt <= p_now
       for update skip locked);
end



-- function dead_letter_cycle(p_queue integer, p_dead_letter integer)
returns jsonb language sql stable search_path=<schema>, pg_temp as

  with recursive chain (id, path) as (
    select q.id, array[(select name from queue where id = p_queue), q.name] from queue q where q.id = p_dead_letter
    union all
    select n.id, c.path || n.name from chain c join queue q on q.id = c.id join queue n on n.id = q.dead_letter
     where c.id <> p_queue)
  select jsonb_build_object('code', 'dead_letter_cycle', 'queue', path[1], 'path', path) from chain where id = p_queue



-- function delete(queue text, id bigint, lease bigint)
returns void language plpgsql volatile search_path=<schema>, pg_temp as

declare
  v record;
begin
  select * into v from try_delete(queue, array[id], array[lease]);
  perform raise_fault(coalesce(v.fault, case when v.id is null then stale_fault(queue, id) end));
end



-- function differences(q queue, p_options jsonb)
returns jsonb language sql stable search_path=<schema>, pg_temp as

  select jsonb_build_object('code', 'options_differ', 'queue', q.name,
           'differences', jsonb_agg(jsonb_build_object('option', key, 'stored', stored, 'requested', value) order by key))
    from (select key, queue_info(q)->key as stored,
                 case when key = 'lease' then to_jsonb(extract(epoch from (value #>> '{}')::interval) * 1000) else value end as value
            from jsonb_each(p_options)) o
   where stored is distinct from value
  having count(*) > 0



-- function drop_counters()
returns void language plpgsql volatile search_path=<schema>, pg_temp, lock_timeout=20ms as

declare
  v_counter text;
begin
  for v_counter in
    select 'sent_' || id from queue
     where dropped_at < clock() - interval '1 minute' and to_regclass('sent_' || id) is not null limit 100
  loop
    begin
      execute format('drop sequence if exists %I.%I', current_schema(), v_counter);
    exception when lock_not_available or insufficient_privilege then
      null;
    end;
  end loop;
end



-- function drop_queue(name text, force boolean, keep_archive boolean)
returns boolean language plpgsql volatile search_path=<schema>, pg_temp defaults false, false as

declare
  v record;
begin
  select * into v from try_drop_queue(name, coalesce(force, false), coalesce(keep_archive, false));
  perform raise_fault(v.fault);
  return v.existed;
end



-- function existing_fault(q queue, p_options jsonb, p_must_be_new boolean)
returns jsonb language sql stable search_path=<schema>, pg_temp as

  select case
    when q.kind <> 'work' then queue_fault(q.name, 'work')
    when p_must_be_new then jsonb_build_object('code', 'queue_already_exists', 'queue', q.name)
    else differences(q, p_options)
  end



-- function extend(queue text, id bigint, lease bigint, by interval)
returns timestamp with time zone language plpgsql volatile search_path=<schema>, pg_temp as

declare
  v record;
begin
  perform raise_fault(argument_fault('by', isfinite(by)));
  select * into v from try_set_vt(queue, id, lease, null, null, by);
  perform raise_fault(coalesce(v.fault, case when v.visible_at is null then stale_fault(queue, id) end));
  return v.visible_at;
end



-- function isolation_fault()
returns jsonb language sql stable as

  select case when current_setting('transaction_isolation') in ('repeatable read', 'serializable')
    then jsonb_build_object('code', 'isolation', 'actual', current_setting('transaction_isolation')) end



-- function last_sent(p_id integer)
returns bigint language plpgsql volatile search_path=<schema>, pg_temp as

begin
  return coalesce(pg_sequence_last_value(to_regclass('sent_' || p_id)), 0);
exception when undefined_table or internal_error then
  return 0;
end



-- function list_queues(p_prefix text, p_after text, p_limit integer)
returns SETOF jsonb language sql stable search_path=<schema>, pg_temp as

  select queue_info(q) from queue q
   where q.dropped_at is null and q.kind = 'work'
     and (p_prefix is null or starts_with(q.name, p_prefix))
     and (p_after is null or q.name > p_after)
   order by q.name limit p_limit



-- function lock_ready(q queue, p_limit integer, p_now timestamp with time zone)
returns bigint[] language plpgsql volatile search_path=<schema>, pg_temp, plan_cache_mode=force_generic_plan, enable_seqscan=off, enable_bitmapscan=off, enable_hashjoin=off, enable_mergejoin=off, enable_sort=off, jit=off as

declare
  v_live smallint[];
begin
  select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
  return array(
    select r.id
      from generate_series(0, q.deepest - 1) l(level),
           lateral (
             select m.id from message m
              where m.queue = q.id and m.segment = any (v_live) and m.priority = l.level
                and m.vt < 'infinity' and m.vt <= p_now
                and m.vt >= coalesce((select f.vt from floor f
                                       where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                                       order by f.version desc limit 1), '-infinity')
              order by m.vt, m.id limit p_limit for update skip locked) r
     limit p_limit);
end



-- function message_info(m message, p_now timestamp with time zone)
returns jsonb language sql stable search_path=<schema>, pg_temp as

  select jsonb_build_object(
    'id', m.id::text, 'queue', (select name from queue where id = m.queue), 'state', message_state(m.lease, m.vt, p_now),
    'priority', m.priority, 'attempt', m.attempt, 'enqueuedAt', extract(epoch from m.enqueued_at) * 1000,
    'visibleAt', case when m.vt < 'infinity' then extract(epoch from m.vt) * 1000 end,
    'origin', (select name from queue where id = m.origin),
    'headers', coalesce(m.headers, '{}'), 'payload', m.payload, 'errors', coalesce(m.errors, '[]'))



-- function message_state(p_lease bigint, p_vt timestamp with time zone, p_now timestamp with time zone)
returns text language sql immutable as

  select case
    when p_vt = 'infinity' then 'parked'
    when p_vt <= p_now then 'visible'
    when p_lease is not null then 'inFlight'
    else 'delayed'
  end



-- function metrics(queue text)
returns TABLE(name text, length bigint, visible bigint, in_flight bigint, delayed bigint, parked bigint, oldest_age interval, newest_age interval, total bigint, scraped_at timestamp with time zone) language plpgsql volatile search_path=<schema>, pg_temp defaults NULL::text as

#variable_conflict use_column
declare
  v record;
begin
  for v in select * from try_metrics(queue) loop
    perform raise_fault(v.fault);
    return query select v.name, v.length, v.visible, v.in_flight, v.delayed, v.parked, v.oldest, v.newest, v.total, v.scraped_at;
  end loop;
end



-- function new_lease()
returns bigint language sql volatile as
select uuid_hash_extended(gen_random_uuid(), 0) & 9223372036854775807


-- function options_fault(p_options jsonb)
returns jsonb language sql immutable search_path=<schema>, pg_temp as

  select case
    when jsonb_typeof(p_options) is distinct from 'object' then argument_fault('options', false)
    else (select argument_fault(key, false) from jsonb_object_keys(p_options) key
           where key not in ('levels', 'lease', 'maxAttempts', 'deadLetter', 'notify') order by key limit 1)
  end



-- function pop(queue text, "limit" integer)
returns SETOF delivery language plpgsql volatile search_path=<schema>, pg_temp defaults 1 as

declare
  v record;
begin
  perform raise_fault(argument_fault('limit', "limit" >= 0));
  for v in select * from try_pop(queue, "limit") order by place loop
    perform raise_fault(v.fault);
    return next (v.id, v.priority, v.attempt, v.lease, v.enqueued_at, v.visible_at, v.headers, v.payload)::delivery;
  end loop;
end



-- function priority_fault(q queue, p_priority integer, p_index integer)
returns jsonb language sql immutable as

  select jsonb_strip_nulls(jsonb_build_object(
    'code', 'priority', 'queue', q.name, 'actual', p_priority, 'levels', q.levels, 'index', p_index))



-- function purge(queue text)
returns integer language plpgsql volatile search_path=<schema>, pg_temp as

declare
  v record;
begin
  select * into v from try_purge(queue);
  perform raise_fault(v.fault);
  return v.count;
end



-- function queue_fault(p_queue text, p_kind text)
returns jsonb language sql stable search_path=<schema>, pg_temp as

  select coalesce(
    (select jsonb_build_object('code', 'wrong_kind', 'queue', p_queue, 'expected', p_kind, 'actual', kind)
       from queue where name = p_queue and dropped_at is null and kind <> p_kind),
    jsonb_build_object('code', 'queue_not_found', 'queue', p_queue))



-- function queue_info(q queue)
returns jsonb language sql stable search_path=<schema>, pg_temp as

  select jsonb_build_object(
    'id', q.id::text, 'name', q.name, 'createdAt', extract(epoch from q.created_at) * 1000,
    'levels', q.levels, 'lease', extract(epoch from q.lease) * 1000, 'maxAttempts', q.max_attempts,
    'deadLetter', (select name from queue where id = q.dead_letter), 'notify', q.notify)



-- function raise_fault(p_fault jsonb)
returns void language plpgsql stable as

declare
  v_code text := p_fault->>'code';
begin
  if p_fault is null then
    return;
  end if;
  raise exception using
    message = case v_code
      when 'queue_not_found' then format('There is no queue "%s".', p_fault->>'queue')
      when 'wrong_kind' then format('"%s" is of kind %s, not %s.', p_fault->>'queue', p_fault->>'actual', p_fault->>'expected')
      when 'stale_lease' then format('Message %s of "%s" is no longer held under this lease.', p_fault->>'id', p_fault->>'queue')
      when 'isolation' then format('This needs READ COMMITTED and met %s.', p_fault->>'actual')
      when 'invalid_argument' then format('%s cannot be meant.', p_fault->>'argument')
      else format('%s: %s', v_code, p_fault - 'code')
    end,
    detail = p_fault::text,
    errcode = case v_code
      when 'queue_not_found' then 'SL001'
      when 'wrong_kind' then 'SL002'
      when 'stale_lease' then 'SL003'
      when 'priority' then 'SL004'
      when 'isolation' then 'SL005'
      when 'queue_already_exists' then 'SL006'
      when 'options_differ' then 'SL007'
      when 'dead_letter_cycle' then 'SL008'
      when 'queue_in_use' then 'SL009'
      when 'invalid_argument' then '22023'
      else 'SL000'
    end;
end



-- function read(queue text, "limit" integer, lease interval)
returns SETOF delivery language plpgsql volatile search_path=<schema>, pg_temp defaults 1, NULL::interval as

declare
  v record;
begin
  perform raise_fault(coalesce(
    argument_fault('limit', "limit" >= 0),
    argument_fault('lease', isfinite(coalesce(lease, '0')))));
  for v in select * from try_read(queue, "limit", lease, false) order by place loop
    perform raise_fault(v.fault);
    return next (v.id, v.priority, v.attempt, v.lease, v.enqueued_at, v.visible_at, v.headers, v.payload)::delivery;
  end loop;
end



-- function release(queue text, id bigint, lease bigint)
returns void language plpgsql volatile search_path=<schema>, pg_temp as

declare
  v record;
begin
  select * into v from try_release(queue, array[id], array[lease]);
  perform raise_fault(coalesce(v.fault, case when v.id is null then stale_fault(queue, id) end));
end



-- function retry(queue text, id bigint, lease bigint, delay interval, error jsonb)
returns text language plpgsql volatile search_path=<schema>, pg_temp defaults '00:00:00'::interval, NULL::jsonb as

declare
  v record;
begin
  perform raise_fault(argument_fault('delay', isfinite(coalesce(delay, '0'))));
  select * into v from try_retry(queue, id, lease, delay, case
    when error is null or jsonb_typeof(error) = 'object' then error
    else jsonb_build_object('name', 'Error', 'message', error #>> '{}') end);
  perform raise_fault(coalesce(v.fault, case when v.outcome is null then stale_fault(queue, id) end));
  return v.outcome;
end



-- function send(queue text, payload jsonb, headers jsonb, delay interval, at timestamp with time zone, priority integer)
returns bigint language plpgsql volatile search_path=<schema>, pg_temp defaults NULL::jsonb, NULL::interval, NULL::timestamp with time zone, NULL::integer as

declare
  v record;
begin
  perform raise_fault(coalesce(
    argument_fault('headers', coalesce(jsonb_typeof(headers), 'object') = 'object'),
    argument_fault('delay', isfinite(coalesce(delay, '0'))),
    argument_fault('at', coalesce(at, '-infinity') < 'infinity')));
  select * into v from try_send(queue, payload, headers, delay, at, priority);
  perform raise_fault(v.fault);
  return v.id;
end



-- function send_batch(queue text, payloads jsonb[], headers jsonb, delay interval, at timestamp with time zone, priority integer)
returns SETOF bigint language plpgsql volatile search_path=<schema>, pg_temp defaults NULL::jsonb, NULL::interval, NULL::timestamp with time zone, NULL::integer as

declare
  v record;
begin
  perform raise_fault(coalesce(
    argument_fault('headers', coalesce(jsonb_typeof(headers), 'object') = 'object'),
    argument_fault('delay', isfinite(coalesce(delay, '0'))),
    argument_fault('at', coalesce(at, '-infinity') < 'infinity')));
  for v in select * from try_send_batch(queue, coalesce(to_jsonb(payloads), '[]'), '[]', headers, delay, at, priority) loop
    perform raise_fault(v.fault);
    return next v.id;
  end loop;
end



-- function set_queue(p_id integer, p_patch jsonb)
returns jsonb language plpgsql volatile search_path=<schema>, pg_temp, enable_seqscan=off, enable_bitmapscan=off as

#variable_conflict use_column
declare
  q queue;
  v_dead_letter int;
  v_fault jsonb;
begin
  if p_patch->>'deadLetter' is not null then
    if isolation_fault() is not null then
      return isolation_fault();
    end if;
    /* Two updates at once must not close a cycle that neither sees. No lock of the table: who creates a queue holds one
       on it that conflicts, and two of them would wait for one another. */
    perform pg_advisory_xact_lock(hashtextextended('sluice dead letters ' || current_schema(), 0));
    /* Locked, so that a drop of it either waits or has been seen. */
    select id into v_dead_letter from queue
     where name = p_patch->>'deadLetter' and kind = 'work' and dropped_at is null for key share;
    if v_dead_letter is null then
      return queue_fault(p_patch->>'deadLetter', 'work');
    end if;
    v_fault := dead_letter_cycle(p_id, v_dead_letter);
    if v_fault is not null then
      return v_fault;
    end if;
  end if;
  update queue set
    levels = coalesce((p_patch->>'levels')::smallint, levels),
    deepest = greatest(deepest, (p_patch->>'levels')::smallint),
    lease = coalesce((p_patch->>'lease')::interval, lease),
    max_attempts = case when p_patch ? 'maxAttempts' then (p_patch->>'maxAttempts')::int else max_attempts end,
    dead_letter = case when p_patch ? 'deadLetter' then v_dead_letter else dead_letter end,
    notify = coalesce(p_patch->>'notify', notify)
  where id = p_id returning * into q;
  if p_patch ? 'levels' then
    update message set priority = q.levels - 1 where queue = q.id and priority >= q.levels;
  end if;
  return null;
end



-- function set_vt(queue text, id bigint, lease bigint, delay interval)
returns timestamp with time zone language plpgsql volatile search_path=<schema>, pg_temp as

declare
  v record;
begin
  perform raise_fault(argument_fault('delay', isfinite(delay)));
  select * into v from try_set_vt(queue, id, lease, null, delay, null);
  perform raise_fault(coalesce(v.fault, case when v.visible_at is null then stale_fault(queue, id) end));
  return v.visible_at;
end



-- function stale_fault(p_queue text, p_id bigint)
returns jsonb language sql immutable as
 select jsonb_build_object('code', 'stale_lease', 'queue', p_queue, 'id', p_id::text) 


-- function try_archive(p_queue text, p_ids bigint[], p_leases bigint[])
returns TABLE(fault jsonb, id bigint) language plpgsql volatile search_path=<schema>, pg_temp, plan_cache_mode=force_generic_plan, enable_seqscan=off, enable_bitmapscan=off, jit=off as

#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  return query
    with gone as (
      delete from message m
       where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
      returning m.*)
    insert into archive (queue, id, archived_at, outcome, priority, attempt, enqueued_at, origin, headers, payload, errors)
    select queue, id, v_now, 'done', priority, attempt, enqueued_at, origin, headers, payload, errors from gone
    returning null::jsonb, archive.id;
end



-- function try_count_archive(p_queue text, p_outcome text)
returns TABLE(fault jsonb, count bigint) language plpgsql volatile search_path=<schema>, pg_temp, enable_seqscan=off, enable_bitmapscan=off, jit=off as

begin
  if p_queue is null then
    return query select null::jsonb, count(*) from archive a where p_outcome is null or a.outcome = p_outcome;
    return;
  elsif not exists (select from queue where name = p_queue and kind = 'work') then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  return query
    select null::jsonb, coalesce(sum(x.found), 0)::bigint
      from queue q,
           lateral (select count(*) as found from archive a where a.queue = q.id and (p_outcome is null or a.outcome = p_outcome)) x
     where q.name = p_queue;
end



-- function try_count_messages(p_queue text, p_state text)
returns TABLE(fault jsonb, count bigint) language plpgsql volatile search_path=<schema>, pg_temp, enable_seqscan=off, enable_bitmapscan=off, jit=off as

declare
  v_now timestamptz := clock();
begin
  if p_queue is not null and not exists (select from queue where name = p_queue and kind = 'work' and dropped_at is null) then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  return query
    select null::jsonb, coalesce(sum(x.found), 0)::bigint
      from queue q,
           lateral (
             select count(*) as found from message m
              where m.queue = q.id and (p_state is null or message_state(m.lease, m.vt, v_now) = p_state)) x
     where q.dropped_at is null and (p_queue is null or q.name = p_queue);
end



-- function try_create_queue(p_name text, p_options jsonb, p_must_be_new boolean)
returns TABLE(fault jsonb, created boolean, info jsonb) language plpgsql volatile search_path=<schema>, pg_temp as

#variable_conflict use_column
declare
  q queue;
  v_fault jsonb;
begin
  loop
    insert into queue (name, created_at) values (p_name, clock())
      on conflict (name) where dropped_at is null do nothing returning * into q;
    exit when found;
    select * into q from queue where name = p_name and dropped_at is null;
    if found then
      return query select existing_fault(q, p_options, p_must_be_new), false, queue_info(q);
      return;
    end if;
    /* It was dropped between the two statements. */
  end loop;
  execute format('create sequence %I.%I', current_schema(), 'sent_' || q.id);
  v_fault := set_queue(q.id, p_options);
  if v_fault is not null then
    execute format('drop sequence %I.%I', current_schema(), 'sent_' || q.id);
    delete from queue where id = q.id;
    return query select v_fault, null::boolean, null::jsonb;
    return;
  end if;
  return query select null::jsonb, true, queue_info(n) from queue n where n.id = q.id;
end



-- function try_delete(p_queue text, p_ids bigint[], p_leases bigint[])
returns TABLE(fault jsonb, id bigint) language plpgsql volatile search_path=<schema>, pg_temp, plan_cache_mode=force_generic_plan, enable_seqscan=off, enable_bitmapscan=off, jit=off as

#variable_conflict use_column
declare
  q queue;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  return query
    delete from message m
     where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
    returning null::jsonb, m.id;
end



-- function try_drop_queue(p_name text, p_force boolean, p_keep_archive boolean)
returns TABLE(fault jsonb, existed boolean) language plpgsql volatile search_path=<schema>, pg_temp, enable_seqscan=off, enable_bitmapscan=off as

#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_in_flight int;
  v_buries text[];
begin
  select * into q from queue where name = p_name and dropped_at is null for update;
  if q.id is null then
    return query select null::jsonb, false;
    return;
  elsif q.kind <> 'work' then
    return query select queue_fault(p_name, 'work'), true;
    return;
  end if;
  v_buries := array(select name from queue where dead_letter = q.id and dropped_at is null order by name);
  for v_look in 1 .. 2 loop
    exit when p_force;
    select count(*) into v_in_flight from message where queue = q.id and message_state(lease, vt, clock()) = 'inFlight';
    if v_in_flight > 0 or v_buries <> '{}' then
      return query select jsonb_build_object('code', 'queue_in_use', 'queue', p_name, 'inFlight', v_in_flight, 'deadLetterOf', v_buries), true;
      return;
    end if;
    /* A lease that an open transaction just took shows when that ends: wait for it, then look again. */
    perform id from message where queue = q.id order by id for update;
  end loop;
  update queue set dropped_at = v_now, dead_letter = null where id = q.id;
  update queue set dead_letter = null where dead_letter = q.id;
  /* Also what sends that were open during an earlier drop left behind; older strays are for maintenance. */
  delete from message where queue = any (array(select id from queue where dropped_at > v_now - interval '1 day'));
  delete from floor where storage = q.storage and queue = q.id;
  if not p_keep_archive then
    delete from archive where queue = q.id;
  end if;
  perform drop_counters();
  return query select null::jsonb, true;
end



-- function try_get_queue(p_name text)
returns TABLE(fault jsonb, info jsonb) language sql stable search_path=<schema>, pg_temp as

  select case when q.id is null then queue_fault(p_name, 'work') end, queue_info(q)
    from (select 1) one left join queue q on q.name = p_name and q.dropped_at is null and q.kind = 'work'



-- function try_list_archive(p_id bigint, p_queue text, p_outcome text, p_after bigint, p_limit integer)
returns TABLE(fault jsonb, item jsonb) language plpgsql volatile search_path=<schema>, pg_temp, enable_seqscan=off, enable_bitmapscan=off, jit=off as

declare
  v_from bigint := coalesce(p_id, p_after + 1, 0);
  v_to bigint := coalesce(p_id, 9223372036854775807);
begin
  if p_queue is null then
    return query
      select null::jsonb, archive_info(a) from archive a
       where a.queue > 0 and a.id between v_from and v_to and (p_outcome is null or a.outcome = p_outcome)
       order by a.id limit p_limit;
    return;
  elsif not exists (select from queue where name = p_queue and kind = 'work') then
    return query select queue_fault(p_queue, 'work'), null::jsonb;
    return;
  end if;
  return query
    select null::jsonb, archive_info(x.a)
      from queue q,
           lateral (
             select a from archive a
              where a.queue = q.id and a.id between v_from and v_to and (p_outcome is null or a.outcome = p_outcome)
              order by a.id limit p_limit) x
     where q.name = p_queue
     order by (x.a).id limit p_limit;
end



-- function try_list_messages(p_id bigint, p_queue text, p_state text, p_after bigint, p_limit integer)
returns TABLE(fault jsonb, item jsonb) language plpgsql volatile search_path=<schema>, pg_temp, enable_seqscan=off, enable_bitmapscan=off, jit=off as

declare
  v_now timestamptz := clock();
  v_from bigint := coalesce(p_id, p_after + 1, 0);
  v_to bigint := coalesce(p_id, 9223372036854775807);
begin
  if p_queue is not null and not exists (select from queue where name = p_queue and kind = 'work' and dropped_at is null) then
    return query select queue_fault(p_queue, 'work'), null::jsonb;
    return;
  end if;
  return query
    select null::jsonb, message_info(x.m, v_now)
      from queue q,
           lateral (
             select m from message m
              where m.queue = q.id and m.id between v_from and v_to
                and (p_state is null or message_state(m.lease, m.vt, v_now) = p_state)
              order by m.id limit p_limit) x
     where q.dropped_at is null and (p_queue is null or q.name = p_queue)
     order by (x.m).id limit p_limit;
end



-- function try_metrics(p_queue text)
returns TABLE(fault jsonb, name text, length bigint, visible bigint, in_flight bigint, delayed bigint, parked bigint, oldest interval, newest interval, total bigint, scraped_at timestamp with time zone) language plpgsql volatile search_path=<schema>, pg_temp, enable_seqscan=off, jit=off as

#variable_conflict use_column
declare
  v_now timestamptz := clock();
begin
  if p_queue is not null and not exists (select from queue where name = p_queue and kind = 'work' and dropped_at is null) then
    return query select queue_fault(p_queue, 'work'), p_queue, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint,
      null::interval, null::interval, 0::bigint, v_now;
    return;
  end if;
  return query
    select null::jsonb, q.name, coalesce(m.length, 0), coalesce(m.visible, 0), coalesce(m.in_flight, 0),
           coalesce(m.delayed, 0), coalesce(m.parked, 0), v_now - m.oldest, v_now - m.newest,
           last_sent(q.id), v_now
      from queue q
      left join lateral (
        select count(*) as length,
               count(*) filter (where s.state = 'visible') as visible,
               count(*) filter (where s.state = 'inFlight') as in_flight,
               count(*) filter (where s.state = 'delayed') as delayed,
               count(*) filter (where s.state = 'parked') as parked,
               min(w.enqueued_at) as oldest, max(w.enqueued_at) as newest
          from message w, lateral (select message_state(w.lease, w.vt, v_now) as state) s
         where w.queue = q.id) m on true
     where q.kind = 'work' and q.dropped_at is null and (p_queue is null or q.name = p_queue)
     order by q.name;
end



-- function try_pop(p_queue text, p_limit integer)
returns TABLE(fault jsonb, place integer, id bigint, priority integer, attempt integer, lease bigint, enqueued_at timestamp with time zone, visible_at timestamp with time zone, headers jsonb, payload jsonb) language plpgsql volatile search_path=<schema>, pg_temp, plan_cache_mode=force_generic_plan, enable_seqscan=off, enable_bitmapscan=off, jit=off as

#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_want int := p_limit;
  v_seen int := 0;
  v_buried int := 0;
  v_ids bigint[];
  v_sorted bigint[];
  v_rank int[];
  v_taken int;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or isolation_fault() is not null then
    return query select coalesce(isolation_fault(), queue_fault(p_queue, 'work')),
      0, null::bigint, 0, 0, null::bigint, v_now, v_now, null::jsonb, null::jsonb;
    return;
  end if;
  loop
    v_ids := lock_ready(q, v_want, v_now);
    exit when v_ids = '{}';
    if p_limit > 1 then
      select array_agg(i order by i), array_agg(v_seen + n order by i) into v_sorted, v_rank
        from unnest(v_ids) with ordinality u(i, n);
    end if;
    return query
      delete from message m
       where m.queue = q.id and m.id = any (v_ids) and (q.max_attempts is null or m.attempt < q.max_attempts)
      returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt + 1, null::bigint, m.enqueued_at, m.vt, m.headers, m.payload;
    get diagnostics v_taken = row_count;
    exit when v_taken = cardinality(v_ids);
    v_buried := v_buried + bury(q, v_ids || dead_ahead(q, v_now), null, v_now);
    v_want := v_want - v_taken;
    v_seen := v_seen + cardinality(v_ids);
    exit when v_want = 0 or v_buried >= 10000;
  end loop;
end



-- function try_purge(p_queue text)
returns TABLE(fault jsonb, count integer) language plpgsql volatile search_path=<schema>, pg_temp, enable_seqscan=off, enable_bitmapscan=off as

#variable_conflict use_column
declare
  q queue;
  v_count int;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::int;
    return;
  end if;
  delete from message where queue = q.id;
  get diagnostics v_count = row_count;
  return query select null::jsonb, v_count;
end



-- function try_read(p_queue text, p_limit integer, p_lease interval, p_own boolean)
returns TABLE(fault jsonb, place integer, id bigint, priority integer, attempt integer, lease bigint, enqueued_at timestamp with time zone, visible_at timestamp with time zone, headers jsonb, payload jsonb) language plpgsql volatile search_path=<schema>, pg_temp, plan_cache_mode=force_generic_plan, enable_seqscan=off, enable_bitmapscan=off, jit=off as

#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_lease bigint := new_lease();
  v_until timestamptz;
  v_want int := p_limit;
  v_seen int := 0;
  v_buried int := 0;
  v_ids bigint[];
  v_sorted bigint[];
  v_rank int[];
  v_taken int;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or isolation_fault() is not null then
    return query select coalesce(isolation_fault(), queue_fault(p_queue, 'work')),
      0, null::bigint, 0, 0, null::bigint, v_now, v_now, null::jsonb, null::jsonb;
    return;
  end if;
  if p_own then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  v_until := greatest(v_now, v_now + coalesce(p_lease, q.lease));
  loop
    v_ids := lock_ready(q, v_want, v_now);
    exit when v_ids = '{}';
    if p_limit > 1 then
      select array_agg(i order by i), array_agg(v_seen + n order by i) into v_sorted, v_rank
        from unnest(v_ids) with ordinality u(i, n);
    end if;
    return query
      update message m set vt = v_until, lease = v_lease, attempt = m.attempt + 1
       where m.queue = q.id and m.id = any (v_ids) and (q.max_attempts is null or m.attempt < q.max_attempts)
      returning null::jsonb, v_rank[width_bucket(m.id, v_sorted)], m.id, m.priority::int, m.attempt, m.lease, m.enqueued_at, m.vt, m.headers, m.payload;
    get diagnostics v_taken = row_count;
    exit when v_taken = cardinality(v_ids);
    v_buried := v_buried + bury(q, v_ids || dead_ahead(q, v_now), v_lease, v_now);
    v_want := v_want - v_taken;
    v_seen := v_seen + cardinality(v_ids);
    /* What a lease of 0 took is ready again already: a second look would find it. */
    exit when v_want = 0 or v_buried >= 10000 or v_taken > 0 and v_until <= v_now;
  end loop;
end



-- function try_release(p_queue text, p_ids bigint[], p_leases bigint[])
returns TABLE(fault jsonb, id bigint) language plpgsql volatile search_path=<schema>, pg_temp, plan_cache_mode=force_generic_plan, enable_seqscan=off, enable_bitmapscan=off, jit=off as

#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  return query
    update message m set vt = v_now, lease = null
     where m.queue = q.id and m.id = any (p_ids) and m.lease = p_leases[width_bucket(m.id, p_ids)]
    returning null::jsonb, m.id;
end



-- function try_retry(p_queue text, p_id bigint, p_lease bigint, p_delay interval, p_error jsonb)
returns TABLE(fault jsonb, outcome text, visible_at timestamp with time zone) language plpgsql volatile search_path=<schema>, pg_temp, plan_cache_mode=force_generic_plan, enable_seqscan=off, enable_bitmapscan=off, jit=off as

#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_vt timestamptz;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::text, null::timestamptz;
    return;
  end if;
  update message m
     set vt = greatest(v_now, v_now + p_delay), lease = null,
         errors = case when p_error is null then m.errors
                  else case when jsonb_array_length(m.errors) >= 50 then m.errors - 0 else coalesce(m.errors, '[]') end || jsonb_build_array(p_error || jsonb_build_object('attempt', m.attempt, 'at', v_now)) end
   where m.queue = q.id and m.id = p_id and m.lease = p_lease
  returning m.vt into v_vt;
  if v_vt is null then
    return;
  end if;
  if bury(q, array[p_id], null, v_now) > 0 then
    return query select null::jsonb, 'dead', null::timestamptz;
  else
    return query select null::jsonb, 'retry', v_vt;
  end if;
end



-- function try_send(p_queue text, p_payload jsonb, p_headers jsonb, p_delay interval, p_at timestamp with time zone, p_priority integer)
returns TABLE(fault jsonb, id bigint) language plpgsql volatile search_path=<schema>, pg_temp, plan_cache_mode=force_generic_plan, enable_seqscan=off as

#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_segment smallint;
  v_priority int;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  v_priority := coalesce(p_priority, least(1, q.levels - 1));
  if v_priority < 0 or v_priority >= q.levels then
    return query select priority_fault(q, v_priority, null), null::bigint;
    return;
  end if;
  select current into v_segment from segment where storage = q.storage order by generation desc limit 1;
  return query
    insert into message (segment, queue, priority, vt, enqueued_at, headers, payload)
    values (v_segment, q.id, v_priority, greatest(v_now, p_at, v_now + p_delay), v_now, p_headers, coalesce(p_payload, 'null'))
    returning null::jsonb, message.id;
  perform count_sent(q, 1);
end



-- function try_send_batch(p_queue text, p_payloads jsonb, p_options jsonb, p_headers jsonb, p_delay interval, p_at timestamp with time zone, p_priority integer)
returns TABLE(fault jsonb, id bigint) language plpgsql volatile search_path=<schema>, pg_temp, plan_cache_mode=force_generic_plan, enable_seqscan=off as

#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_segment smallint;
  v_priority int;
  v_bad record;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  v_priority := coalesce(p_priority, least(1, q.levels - 1));
  select n - 1 as index, coalesce((o->>'priority')::int, v_priority) as priority into v_bad
    from rows from (jsonb_array_elements(p_options)) with ordinality e(o, n)
   where coalesce((o->>'priority')::int, v_priority) not between 0 and q.levels - 1 order by n limit 1;
  if found or v_priority not between 0 and q.levels - 1 then
    return query select priority_fault(q, coalesce(v_bad.priority, v_priority), v_bad.index::int), null::bigint;
    return;
  end if;
  select current into v_segment from segment where storage = q.storage order by generation desc limit 1;
  return query
    insert into message (segment, queue, priority, vt, enqueued_at, headers, payload)
    select v_segment, q.id, coalesce((e.o->>'priority')::int, v_priority),
           case when e.o ? 'at' then greatest(v_now, to_timestamp((e.o->>'at')::float8 / 1000))
                when e.o ? 'delay' then v_now + (e.o->>'delay')::float8 * interval '1 millisecond'
                else greatest(v_now, p_at, v_now + p_delay) end,
           v_now, coalesce(e.o->'headers', p_headers), e.payload
      from rows from (jsonb_array_elements(p_payloads), jsonb_array_elements(p_options)) with ordinality e(payload, o, n)
     order by e.n
    returning null::jsonb, message.id;
  perform count_sent(q, jsonb_array_length(p_payloads));
end



-- function try_set_vt(p_queue text, p_id bigint, p_lease bigint, p_at timestamp with time zone, p_delay interval, p_extend interval)
returns TABLE(fault jsonb, visible_at timestamp with time zone) language plpgsql volatile search_path=<schema>, pg_temp, plan_cache_mode=force_generic_plan, enable_seqscan=off, enable_bitmapscan=off, jit=off as

#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' then
    return query select queue_fault(p_queue, 'work'), null::timestamptz;
    return;
  end if;
  return query
    update message m set vt = greatest(v_now, p_at, v_now + p_delay, m.vt + p_extend)
     where m.queue = q.id and m.id = p_id and m.lease = p_lease
    returning null::jsonb, m.vt;
end



-- function try_update_queue(p_name text, p_patch jsonb)
returns TABLE(fault jsonb, info jsonb) language plpgsql volatile search_path=<schema>, pg_temp as

#variable_conflict use_column
declare
  q queue;
  v_fault jsonb;
begin
  /* A drop of the dead-letter queue locks that one first and then those that bury there: so does this. */
  if p_patch->>'deadLetter' is not null and isolation_fault() is null then
    perform from queue where name = p_patch->>'deadLetter' and dropped_at is null for key share;
  end if;
  select * into q from queue where name = p_name and dropped_at is null for no key update;
  if q.kind is distinct from 'work' then
    v_fault := queue_fault(p_name, 'work');
  else
    v_fault := set_queue(q.id, p_patch);
  end if;
  return query select v_fault, (select queue_info(n) from queue n where n.id = q.id);
end



-- function update_queue(name text, patch jsonb)
returns jsonb language plpgsql volatile search_path=<schema>, pg_temp as

declare
  v record;
begin
  perform raise_fault(options_fault(patch));
  select * into v from try_update_queue(name, patch);
  perform raise_fault(v.fault);
  return v.info;
end


-- index archive_id: CREATE INDEX archive_id ON ONLY archive USING btree (id) WHERE (queue > 0)
-- index archive_message: CREATE INDEX archive_message ON ONLY archive USING btree (queue, id)
-- index floor_pkey: CREATE UNIQUE INDEX floor_pkey ON floor USING btree (storage, queue, priority, version)
-- index message_claim: CREATE INDEX message_claim ON ONLY message USING btree (queue, priority, vt, id) WHERE (vt < 'infinity'::timestamp with time zone)
-- index message_pkey: CREATE UNIQUE INDEX message_pkey ON ONLY message USING btree (queue, id, segment)
-- index migration_pkey: CREATE UNIQUE INDEX migration_pkey ON migration USING btree (version)
-- index queue_dead_letter: CREATE INDEX queue_dead_letter ON queue USING btree (dead_letter) WHERE (dead_letter IS NOT NULL)
-- index queue_name: CREATE UNIQUE INDEX queue_name ON queue USING btree (name) WHERE (dropped_at IS NULL)
-- index queue_pkey: CREATE UNIQUE INDEX queue_pkey ON queue USING btree (id)
-- index segment_pkey: CREATE UNIQUE INDEX segment_pkey ON segment USING btree (storage, generation)
-- sequence floor_version_seq: start 1 increment 1 cache 1
-- sequence message_id: start 1 increment 1 cache 1
-- sequence queue_id_seq: start 1 increment 1 cache 1
-- table archive: RANGE (archived_at)
-- table archive_default: DEFAULT
-- table floor: 
-- table message: LIST (segment)
-- table message_0: FOR VALUES IN ('0') fillfactor=90, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000, autovacuum_vacuum_cost_delay=0
-- table message_1: FOR VALUES IN ('1') fillfactor=90, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000, autovacuum_vacuum_cost_delay=0
-- table migration: 
-- table queue: 
-- table segment: 
