/* The group of a message in a queue, as its indexes have it. */
create or replace function {schema}.group_of(p_ungrouped bigint, p_name text) returns bigint
language sql immutable as $$
  select case when p_ungrouped is null then null when p_name is null then 0 else greatest(hashtextextended(p_name, 0) & 9223372036854775807, 1) end
$$
-- next
/* A message of which more is to be said than the hot functions of sending take. Not before p_vt; null of one that waits for others. */
create or replace function {schema}.insert_message(q {schema}.queue, p_item jsonb, p_vt timestamptz, p_now timestamptz) returns bigint
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  v_id bigint;
begin
  execute format('insert into %I (segment, queue, priority, vt, enqueued_at, headers, payload, grp, group_name, key, expire_at)
    values ((select current from segment where storage = $1 order by generation desc limit 1), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning id',
    message_table(q.storage))
    into v_id using q.storage, q.id, coalesce((p_item->>'priority')::int, least(1, q.levels - 1)), coalesce(p_vt, 'infinity'), p_now, p_item->'headers',
      coalesce(p_item->'payload', 'null'), group_of(q.ungrouped, p_item->>'group'), p_item->>'group', p_item->>'key', to_timestamp((p_item->>'expireAt')::float8 / 1000);
  return v_id;
end
$$
-- next
/* When an item is ready that nothing else holds back. */
create or replace function {schema}.ready_at(p_item jsonb, p_now timestamptz) returns timestamptz
language sql immutable as $$
  select greatest(p_now, to_timestamp((p_item->>'at')::float8 / 1000), p_now + coalesce((p_item->>'debounce')::float8, (p_item->>'delay')::float8) * interval '1 millisecond')
$$
-- next
/* The row of a key, locked, and made where there was none. Who holds it in an open transaction is waited for. */
create or replace function {schema}.lock_key(q {schema}.queue, p_key text) returns {schema}.unique_key
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  k unique_key;
begin
  loop
    insert into unique_key (queue, key, id, until, to_start) values (q.id, p_key, 0, '-infinity', false) on conflict (queue, key) do nothing returning * into k;
    exit when found;
    select * into k from unique_key where queue = q.id and key = p_key for update;
    exit when found;
    /* Maintenance took it away between the two statements. */
  end loop;
  return k;
end
$$
-- next
/* The message that holds a key: as long as it is in its queue, and, of one that is to be free once it was started, until then;
   or for a time, whatever becomes of it. Locked if it may be replaced: waits, and nobody has it. */
create or replace function {schema}.key_holder(q {schema}.queue, k {schema}.unique_key, p_now timestamptz, out held boolean, out waits boolean)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  m record;
  v_table text := message_table(q.storage);
  v_lock text := format('select true from %I where queue = $1 and id = $2 and not (lease is not null and vt > $3) for no key update', v_table);
begin
  held := false;
  waits := false;
  if k.until <= p_now then
    return;
  end if;
  execute format('select lease, vt, attempt from %I where queue = $1 and id = $2 and (expire_at is null or expire_at > $3)', v_table) into m using q.id, k.id, p_now;
  if m.vt is null then
    perform flipping(q.storage, null); /* An old snapshot cannot tell. */
  end if;
  held := k.until < 'infinity' or m.vt is not null and not (k.to_start and m.attempt > 0);
  if m.vt is not null and not (m.lease is not null and m.vt > p_now) then
    execute v_lock || ' skip locked' into waits using q.id, k.id, p_now;
    if waits is null and flipping(q.storage, null) then
      /* It may just be moved. */
      execute v_lock into waits using q.id, k.id, p_now;
      execute v_lock || ' skip locked' into waits using q.id, k.id, p_now;
    end if;
    waits := coalesce(waits, false);
  end if;
end
$$
-- next
/* A message that came back has its key again, unless another one has it by now. */
create or replace function {schema}.take_key(q {schema}.queue, p_key text, p_id bigint, p_now timestamptz) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
begin
  if not (key_holder(q, lock_key(q, p_key), p_now)).held then
    update unique_key set id = p_id, until = 'infinity', to_start = false where queue = q.id and key = p_key;
  end if;
end
$$
-- next
/* Sends one message, or finds the one that has its key. */
create or replace function {schema}.send_item(q {schema}.queue, p_item jsonb, p_index int, p_now timestamptz, out id bigint, out created boolean, out fault jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  k unique_key;
  h record;
  v_conflict text := coalesce(p_item->>'onConflict', case when p_item ? 'debounce' then 'replace' else 'keep' end);
begin
  if p_item->>'key' is not null then
    k := lock_key(q, p_item->>'key');
    h := key_holder(q, k, p_now);
    id := k.id;
    created := false;
    if v_conflict = 'replace' and h.waits then
      perform replace_message(q, k.id, p_item, p_now);
      return;
    elsif h.held and v_conflict = 'error' then
      fault := jsonb_build_object('code', 'key_conflict', 'queue', q.name, 'key', k.key, 'id', k.id::text, 'index', p_index);
      return;
    elsif h.held and (v_conflict = 'keep' or k.until < 'infinity') then
      return;
    end if;
  end if;
  created := true;
  id := insert_message(q, p_item, case when not p_item ? 'after' then ready_at(p_item, p_now) end, p_now);
  if k.key is not null then
    update unique_key u set id = send_item.id, until = coalesce(p_now + (p_item->>'throttle')::float8 * interval '1 millisecond', 'infinity'),
           to_start = coalesce((p_item->>'keyUntil' = 'started'), false) or p_item ? 'debounce'
     where u.queue = q.id and u.key = k.key;
  end if;
end
$$
-- next
/* What waits becomes another message of the same id. */
create or replace function {schema}.replace_message(q {schema}.queue, p_id bigint, p_item jsonb, p_now timestamptz) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
begin
  execute format('update %I set payload = $3, headers = $4, priority = $5, vt = case when vt = ''infinity'' then vt else $6 end, attempt = 0, lease = null, errors = null,
      grp = $7, group_name = $8, expire_at = $9 where queue = $1 and id = $2', message_table(q.storage))
    using q.id, p_id, coalesce(p_item->'payload', 'null'), p_item->'headers', coalesce((p_item->>'priority')::int, least(1, q.levels - 1)),
      ready_at(p_item, p_now), group_of(q.ungrouped, p_item->>'group'), p_item->>'group', to_timestamp((p_item->>'expireAt')::float8 / 1000);
  update dependency set at = ready_at(p_item, p_now) where child = p_id;
end
$$
-- next
/* What is wrong with items before any of them is sent. */
create or replace function {schema}.items_fault(q {schema}.queue, p_items jsonb) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select coalesce(
    (select priority_fault(q, (o->>'priority')::int, n::int - 1) from jsonb_array_elements(p_items) with ordinality e(o, n)
      where (o->>'priority')::int not between 0 and q.levels - 1 order by n limit 1),
    (select jsonb_build_object('code', 'no_groups', 'queue', q.name, 'index', n - 1) from jsonb_array_elements(p_items) with ordinality e(o, n)
      where o ? 'group' and q.ungrouped is null order by n limit 1),
    /* Each waits for what was sent before it to its group anyway: with what comes later it could wait in a circle. */
    (select jsonb_build_object('code', 'later_ref', 'queue', q.name, 'index', n - 1) from jsonb_array_elements(p_items) with ordinality e(o, n)
      where q.fifo and exists (select from jsonb_array_elements(o->'after') a where (a->>'index')::int >= n - 1) order by n limit 1))
$$
-- next
/* Messages with keys, groups, times to live, or that wait for others: in order, all or nothing. Each item is {payload, headers,
   delay, at, priority, key, keyUntil, throttle, debounce, onConflict, group, expireAt, after, ifFailed}; times and lengths of time in
   milliseconds; after: [{queue, id} or {index}, of an item of the batch]. created is false of one that had been there. */
create or replace function {schema}.try_send_with(p_queue text, p_items jsonb) returns table (fault jsonb, id bigint, created boolean)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_item jsonb;
  v_one record;
  v_ids bigint[] := '{}';
  v_created boolean[] := '{}';
  v_fault jsonb;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  v_fault := case when q.kind is distinct from 'work' or not hold_storage(q) then queue_fault(p_queue, 'work') else items_fault(q, p_items) end;
  if v_fault is null then
    begin
      /* All in one order: two batches of the same keys do not wait for one another. */
      perform lock_key(q, k.key) from (select distinct o->>'key' as key from jsonb_array_elements(p_items) o where o->>'key' is not null order by 1) k;
      for v_item in select * from jsonb_array_elements(p_items) loop
        v_one := send_item(q, v_item, cardinality(v_ids), v_now);
        v_fault := v_one.fault;
        exit when v_fault is not null;
        v_ids := v_ids || v_one.id;
        v_created := v_created || v_one.created;
      end loop;
      v_fault := coalesce(v_fault, wait_for_others(q, p_items, v_ids, v_created, v_now));
      if v_fault is not null then
        /* Takes back what this call has sent, and nothing else of the caller's transaction. */
        raise exception using errcode = 'SL000', message = 'taken back';
      end if;
    exception when sqlstate 'SL000' then
      null;
    end;
  end if;
  if v_fault is not null then
    return query select v_fault, null::bigint, null::boolean;
    return;
  end if;
  perform count_sent(q, cardinality(array_positions(v_created, true)));
  return query select null::jsonb, u.id, u.created from unnest(v_ids, v_created) with ordinality u(id, created, n) order by u.n;
end
$$
-- next
/* Keys that hold no longer: their time is over, or their message is gone. Some of them, by chance: they cost nothing but room. */
create or replace function {schema}.clear_keys(p_limit int default 5000) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  k unique_key;
  q queue;
  v_there boolean;
  v_count int := 0;
  v_percent real := (select greatest(0.1, least(100, 100 * p_limit / greatest(reltuples, 1))) from pg_class where oid = 'unique_key'::regclass);
begin
  for k in select * from unique_key where until < clock() limit p_limit for update skip locked loop
    delete from unique_key where queue = k.queue and key = k.key;
    v_count := v_count + 1;
  end loop;
  for k in select * from unique_key tablesample system (v_percent) where until = 'infinity' and id > 0 loop
    select * into q from queue where id = k.queue;
    v_there := false;
    if q.dropped_at is null then
      continue when not hold_if_free(q);
      execute format('select exists (select from %I where queue = $1 and id = $2)', message_table(q.storage)) into v_there using k.queue, k.id;
    end if;
    if not v_there then
      delete from unique_key where queue = k.queue and key = k.key and id = k.id;
      v_count := v_count + 1;
    end if;
  end loop;
  return v_count;
end
$$
