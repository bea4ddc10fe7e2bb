create or replace function {schema}.queue_info(q {schema}.queue) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object(
    'id', q.id::text, 'name', q.name, 'createdAt', extract(epoch from q.created_at) * 1000,
    'levels', q.levels, 'lease', extract(epoch from q.lease) * 1000, 'maxAttempts', q.max_attempts,
    'deadLetter', (select name from queue where id = q.dead_letter), 'notify', q.notify,
    'archiveRetention', extract(epoch from q.archive_retention) * 1000,
    'backoff', q.backoff, 'done', q.done, 'onInvalid', q.on_invalid, 'pausedAt', extract(epoch from q.paused_at) * 1000, 'results', extract(epoch from q.result_retention) * 1000,
    'fifo', q.fifo, 'fair', q.fair, 'concurrency', q.concurrency, 'groupConcurrency', q.group_concurrency, 'rateLimit', q.rate, 'groupRateLimit', q.group_rate)
    || storage_info((select s from storage s where s.id = q.storage))
$$
-- next
/* As options say it, lengths of time as text with their unit, into milliseconds; null where it cannot be meant, and where none is. */
create or replace function {schema}.backoff_wanted(p jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('kind', p->>'kind', 'base', w.base, 'max', w.max, 'jitter', w.jitter)
    from (select partition_measure('time', p->'base') as base, partition_measure('time', coalesce(p->'max', '"10 minutes"')) as max,
                 case when p->'jitter' is null then 0.2 when jsonb_typeof(p->'jitter') = 'number' then (p->>'jitter')::numeric end as jitter) w
   where jsonb_typeof(p) = 'object' and p - '{kind,base,max,jitter}'::text[] = '{}' and p->>'kind' in ('fixed', 'linear', 'exponential')
     and w.base >= 0 and w.max >= w.base and w.jitter between 0 and 1
$$
-- next
create or replace function {schema}.differences(q {schema}.queue, p_options jsonb) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('code', 'options_differ', 'queue', q.name,
           'differences', jsonb_agg(jsonb_build_object('option', key, 'stored', stored, 'requested', value) order by key))
    from (select key, queue_info(q)->key as stored,
                 case when key in ('lease', 'archiveRetention', 'results') then coalesce(to_jsonb(extract(epoch from (value #>> '{}')::interval) * 1000), 'null')
                      when key = 'backoff' then coalesce(backoff_wanted(value), 'null')
                      when key in ('rateLimit', 'groupRateLimit') then coalesce(rate_wanted(value), 'null')
                      when key in ('storage', 'partition') then storage_info(storage_wanted(p_options))->key
                      else value end as value
            from jsonb_each(p_options)) o
   where stored is distinct from value
  having count(*) > 0
$$
-- next
create or replace function {schema}.existing_fault(q {schema}.queue, p_options jsonb, p_must_be_new boolean) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select case
    when q.kind <> 'work' then queue_fault(q.name, 'work')
    when p_must_be_new then jsonb_build_object('code', 'queue_already_exists', 'queue', q.name)
    else differences(q, p_options)
  end
$$
-- next
/* Creates a queue or finds it. Options that differ from the stored ones are an answer
   that names each difference, never silently kept. */
create or replace function {schema}.try_create_queue(p_name text, p_options jsonb, p_must_be_new boolean)
returns table (fault jsonb, created boolean, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
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
  v_fault := set_queue(q.id, p_options - 'storage' - 'partition');
  if v_fault is not null then
    execute format('drop sequence %I.%I', current_schema(), 'sent_' || q.id);
    delete from queue where id = q.id;
    return query select v_fault, null::boolean, null::jsonb;
    return;
  end if;
  if (storage_wanted(p_options)).layout is not null then
    update queue set storage = create_storage(storage_wanted(p_options)) where id = q.id;
  end if;
  return query select null::jsonb, true, queue_info(n) from queue n where n.id = q.id;
end
$$
-- next
create or replace function {schema}.dead_letter_cycle(p_queue int, p_dead_letter int) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  with recursive chain (id, path) as (
    select q.id, array[(select name from queue where id = p_queue), q.name] from queue q where q.id = p_dead_letter
    union all
    select n.id, c.path || n.name from chain c join queue q on q.id = c.id join queue n on n.id = q.dead_letter
     where c.id <> p_queue)
  select jsonb_build_object('code', 'dead_letter_cycle', 'queue', path[1], 'path', path) from chain where id = p_queue
$$
-- next
/* Applies a patch of options. Lowering the levels moves the messages of removed levels to the last one, in order of id, as
   settles lock. */
create or replace function {schema}.set_queue(p_id int, p_patch jsonb) returns jsonb
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
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
    notify = coalesce(p_patch->>'notify', notify),
    backoff = case when p_patch ? 'backoff' then backoff_wanted(p_patch->'backoff') else backoff end,
    done = coalesce(p_patch->>'done', done),
    result_retention = case when p_patch ? 'results' then (p_patch->>'results')::interval else result_retention end,
    on_invalid = coalesce(p_patch->>'onInvalid', on_invalid),
    archive_retention = case when p_patch ? 'archiveRetention' then (p_patch->>'archiveRetention')::interval else archive_retention end
  where id = p_id returning * into q;
  perform set_limits(q, p_patch);
  if p_patch ? 'levels' then
    execute format('update %I set priority = $1 - 1 where queue = $2 and priority >= $1', message_table(q.storage)) using q.levels, q.id;
  end if;
  return null;
end
$$
-- next
/* Where a queue is stored is decided once; what its retention does may change. */
create or replace function {schema}.set_storage(q {schema}.queue, p_patch jsonb) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  s storage;
  w storage;
begin
  if not p_patch ?| '{storage,partition}' then
    return null;
  end if;
  select * into s from storage where id = q.storage;
  w := storage_wanted(jsonb_build_object('storage', storage_info(s)->'storage') || p_patch);
  if not p_patch ? 'partition' and p_patch->'storage' = storage_info(s)->'storage' then
    return null;
  elsif (coalesce(w.layout, 'ring'), coalesce(w.unlogged, false), w.width, coalesce(w.own_archive, false), w is null)
     is distinct from (s.layout, s.unlogged, s.width, s.own_archive, s.id = 0) then
    return jsonb_build_object('code', 'storage_fixed', 'queue', q.name, 'stored', storage_info(s), 'requested', storage_info(w));
  end if;
  update storage set keep = w.keep, unread = w.unread where id = s.id and id <> 0;
  return null;
end
$$
-- next
create or replace function {schema}.try_update_queue(p_name text, p_patch jsonb) returns table (fault jsonb, info jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
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
    v_fault := coalesce(
      argument_fault('archiveRetention', p_patch->>'archiveRetention' is null or archive_table(q.storage) = 'archive'),
      set_storage(q, p_patch), set_queue(q.id, p_patch - 'storage' - 'partition'));
  end if;
  return query select v_fault, (select queue_info(n) from queue n where n.id = q.id);
end
$$
-- next
/* Refused while leases are live, other queues bury their dead here or schedules send here, unless forced. existed: whether there was one.
   Messages go in order of id, as settles lock. A dedicated storage waits for every transaction that uses it, and goes whole. */
create or replace function {schema}.try_drop_queue(p_name text, p_force boolean, p_keep_archive boolean)
returns table (fault jsonb, existed boolean)
language plpgsql volatile
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_in_flight int;
  v_buries text[];
  v_schedules text[];
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
  v_schedules := array(select name from schedule where queue = q.id order by name);
  for v_look in 1 .. 2 loop
    exit when p_force;
    execute format('select count(*) from %I where queue = $1 and message_state(lease, vt, clock()) = ''inFlight''', message_table(q.storage))
       into v_in_flight using q.id;
    if v_in_flight > 0 or v_buries <> '{}' or v_schedules <> '{}' then
      return query select jsonb_build_object('code', 'queue_in_use', 'queue', p_name, 'inFlight', v_in_flight, 'deadLetterOf', v_buries, 'schedules', v_schedules), true;
      return;
    end if;
    /* A lease that an open transaction just took shows when that ends: wait for it, then look again. */
    if q.storage <> 0 then
      perform pg_advisory_xact_lock(lock_space('storage'), q.storage);
    else
      perform id from message where queue = q.id order by id for update;
    end if;
  end loop;
  /* Before the lock on the storage: a run that is being sent holds its schedule and waits for that. */
  delete from schedule where queue = q.id;
  /* Before it is told who waits for its messages: whoever may still add to them. */
  if q.storage <> 0 then
    perform pg_advisory_xact_lock(lock_space('storage'), q.storage);
  end if;
  update queue set dropped_at = v_now, dead_letter = null where id = q.id;
  update queue set dead_letter = null where dead_letter = q.id;
  /* Also what sends that were open during an earlier drop left behind; older strays are for maintenance. */
  delete from message where queue = any (array(select id from queue where dropped_at > v_now - interval '1 day'));
  delete from floor where storage = q.storage and queue = q.id;
  delete from unique_key where queue = q.id;
  delete from rate_use where queue = q.id;
  delete from dependency where child_queue = q.id;
  perform left_queue(q, null, false);
  if not p_keep_archive then
    execute format('delete from %I where queue = $1', archive_table(q.storage)) using q.id;
  end if;
  if q.storage <> 0 then
    perform drop_storage(q.storage, p_keep_archive);
    if archive_table(q.storage) = 'archive' then
      update queue set storage = 0 where id = q.id;
      delete from storage where id = q.storage;
    end if;
  end if;
  perform drop_counters();
  return query select null::jsonb, true;
end
$$
-- next
/* Drops the counters of queues that were dropped a minute ago or more. Not at once: a producer may stand between its look-up
   of the queue and nextval, and would get an error of the server. One that an open transaction used, or another role owns, is left for next time. */
create or replace function {schema}.drop_counters() returns void
language plpgsql volatile set search_path = {schema}, pg_temp set lock_timeout = '20ms' as $$
declare
  v_counter text;
begin
  for v_counter in
    select c from queue, unnest(array['sent_' || id, 'turn_' || id]) c
     where dropped_at < clock() - interval '1 minute' and own_relation(c) is not null limit 100
  loop
    begin
      execute format('drop sequence if exists %I.%I', current_schema(), v_counter);
    exception when lock_not_available or insufficient_privilege then
      null;
    end;
  end loop;
end
$$
-- next
create or replace function {schema}.partition_fault(p jsonb, p_archive_retention text) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select case
    when p is null then null
    when jsonb_typeof(p) <> 'object' or p - '{by,interval,retention,unread,archive}'::text[] <> '{}' then argument_fault('partition', false)
    else coalesce(
    argument_fault('partition.by', p->>'by' in ('id', 'time')),
    argument_fault('partition.interval', partition_measure(p->>'by', p->'interval') >= case p->>'by' when 'time' then 1000 else 1 end),
    argument_fault('partition.retention', partition_measure(p->>'by', p->'retention') >= 0),
    argument_fault('partition.unread', coalesce(p->>'unread', 'keep') in ('keep', 'drop')),
    argument_fault('partition.archive', coalesce(jsonb_typeof(p->'archive'), 'boolean') = 'boolean'),
    argument_fault('archiveRetention', p_archive_retention is null or p->>'archive' is distinct from 'true'))
  end
$$
-- next
/* The first option that there is not, or that cannot be meant, of those that the SQL functions were given; the client knows its own. */
create or replace function {schema}.options_fault(p_options jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select case
    when jsonb_typeof(p_options) is distinct from 'object' then argument_fault('options', false)
    else coalesce(
      (select argument_fault(key, false) from jsonb_object_keys(p_options) key
        where key not in ('levels', 'lease', 'maxAttempts', 'deadLetter', 'notify', 'archiveRetention', 'storage', 'partition', 'backoff', 'done', 'onInvalid', 'results',
          'fifo', 'fair', 'concurrency', 'groupConcurrency', 'rateLimit', 'groupRateLimit') order by key limit 1),
      limits_fault(p_options),
      argument_fault('results', p_options->>'results' is null or partition_measure('time', p_options->'results') > 0),
      argument_fault('backoff', coalesce(jsonb_typeof(p_options->'backoff'), 'null') = 'null' or backoff_wanted(p_options->'backoff') is not null),
      argument_fault('done', coalesce(p_options->>'done', 'delete') in ('delete', 'archive')),
      argument_fault('onInvalid', coalesce(p_options->>'onInvalid', 'raise') in ('deadLetter', 'raise')),
      argument_fault('storage', coalesce(p_options->>'storage', 'shared') in ('shared', 'dedicated', 'unlogged')
        and not (p_options->>'storage' is not distinct from 'shared' and jsonb_typeof(p_options->'partition') is not distinct from 'object')),
      partition_fault(nullif(p_options->'partition', 'null'), p_options->>'archiveRetention'),
      argument_fault('archiveRetention', p_options->>'archiveRetention' is null or partition_measure('time', p_options->'archiveRetention') > 0))
  end
$$
-- next
create or replace function {schema}.create_queue(name text, options jsonb default '{}', out id int, out created boolean)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
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
$$
-- next
create or replace function {schema}.update_queue(name text, patch jsonb) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  perform raise_fault(options_fault(patch));
  select * into v from try_update_queue(name, patch);
  perform raise_fault(v.fault);
  return v.info;
end
$$
-- next
create or replace function {schema}.drop_queue(name text, force boolean default false, keep_archive boolean default false) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v record;
begin
  select * into v from try_drop_queue(name, coalesce(force, false), coalesce(keep_archive, false));
  perform raise_fault(v.fault);
  return v.existed;
end
$$
