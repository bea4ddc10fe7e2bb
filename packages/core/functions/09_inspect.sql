/* Read-only listings, each row one JSON document. Keyset paging: pass the last key of a page to get the next. */
create or replace function {schema}.list_queues(p_prefix text, p_after text, p_limit int) returns setof jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select queue_info(q) from queue q
   where q.dropped_at is null and q.kind = 'work'
     and (p_prefix is null or starts_with(q.name, p_prefix))
     and (p_after is null or q.name > p_after)
   order by q.name limit p_limit
$$
-- next
create or replace function {schema}.count_queues(p_prefix text) returns bigint
language sql stable set search_path = {schema}, pg_temp as $$
  select count(*) from queue q
   where q.dropped_at is null and q.kind = 'work' and (p_prefix is null or starts_with(q.name, p_prefix))
$$
-- next
create or replace function {schema}.try_get_queue(p_name text) returns table (fault jsonb, info jsonb)
language sql stable set search_path = {schema}, pg_temp as $$
  select case when q.id is null then queue_fault(p_name, 'work') end, queue_info(q)
    from (select 1) one left join queue q on q.name = p_name and q.dropped_at is null and q.kind = 'work'
$$
-- next
create or replace function {schema}.message_info(m {schema}.message, p_now timestamptz) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object(
    'id', m.id::text, 'queue', (select name from queue where id = m.queue), 'state', message_state(m.lease, m.vt, p_now),
    'priority', m.priority, 'attempt', m.attempt, 'enqueuedAt', extract(epoch from m.enqueued_at) * 1000,
    'visibleAt', case when m.vt < 'infinity' then extract(epoch from m.vt) * 1000 end,
    'origin', (select name from queue where id = m.origin),
    'headers', coalesce(m.headers, '{}'), 'payload', m.payload, 'errors', coalesce(m.errors, '[]'), 'key', m.key, 'group', m.group_name,
    'expireAt', extract(epoch from m.expire_at) * 1000,
    'progress', (select jsonb_build_object('value', p.value, 'note', p.note, 'at', extract(epoch from p.at) * 1000) from progress p where p.id = m.id))
$$
-- next
/* Up to p_limit messages of a queue, in the order of the primary key: a page costs what it shows, however long the queue is. */
create or replace function {schema}.messages_of(q {schema}.queue, p_from bigint, p_to bigint, p_state text, p_limit int, p_now timestamptz, p_wait boolean)
returns setof {schema}.message
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
  if q.storage <> 0 then
    if (case when p_wait then hold_storage(q) else hold_if_free(q) end) then
      return query execute format('select * from %I($1, $2, $3, $4, $5, $6, $7)', 'messages_of_s' || q.storage)
        using q, p_from, p_to, p_state, p_limit, p_now, p_wait;
    end if;
    return;
  end if;
  return query
    select * from message m
     where m.queue = q.id and m.id between p_from and p_to and (p_state is null or message_state(m.lease, m.vt, p_now) = p_state)
     order by m.id limit p_limit;
end
$$
-- next
/* p_id, p_queue and p_state narrow the list where they are not null. Only a state is looked for. */
create or replace function {schema}.try_list_messages(p_id bigint, p_queue text, p_state text, p_after bigint, p_limit int)
returns table (fault jsonb, item jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
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
    select null::jsonb, message_info(m, v_now)
      from queue q, lateral messages_of(q, v_from, v_to, p_state, p_limit, v_now, p_queue is not null) m
     where q.dropped_at is null and q.kind = 'work' and (p_queue is null or q.name = p_queue)
     order by m.id limit p_limit;
end
$$
-- next
create or replace function {schema}.try_count_messages(p_queue text, p_state text) returns table (fault jsonb, count bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_now timestamptz := clock();
begin
  if p_queue is not null and not exists (select from queue where name = p_queue and kind = 'work' and dropped_at is null) then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  return query
    select null::jsonb, coalesce(sum(case p_state when 'visible' then c.visible when 'inFlight' then c.in_flight
                                       when 'delayed' then c.delayed when 'parked' then c.parked else c.length end), 0)::bigint
      from queue q, lateral count_messages(q, v_now, p_queue is not null) c
     where q.dropped_at is null and q.kind = 'work' and (p_queue is null or q.name = p_queue);
end
$$
-- next
create or replace function {schema}.archive_info(a {schema}.archive) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object(
    'id', a.id::text, 'queue', (select name from queue where id = a.queue), 'outcome', a.outcome,
    'priority', a.priority, 'attempt', a.attempt, 'enqueuedAt', extract(epoch from a.enqueued_at) * 1000,
    'archivedAt', extract(epoch from a.archived_at) * 1000, 'origin', (select name from queue where id = a.origin),
    'headers', coalesce(a.headers, '{}'), 'payload', a.payload, 'errors', coalesce(a.errors, '[]'), 'key', a.key, 'group', a.group_name)
$$
-- next
/* Of a queue's own archive, or of the shared one; of the whole table where p_queue is null. In the order of an index. */
create or replace function {schema}.archive_of(p_table text, p_queue int, p_from bigint, p_to bigint, p_outcome text, p_limit int)
returns setof {schema}.archive
language plpgsql stable
set search_path = {schema}, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
begin
  return query execute format('select * from %s a where %s and a.id between $2 and $3 and ($4 is null or a.outcome = $4) order by a.id limit $5',
    own(p_table), case when p_queue is null then 'a.queue > 0' else 'a.queue = $1' end) using p_queue, p_from, p_to, p_outcome, p_limit;
end
$$
-- next
/* Where archived messages may be: the shared archive whole, and each queue's own; or those of every queue that ever bore a
   name, dropped ones that kept theirs too. */
create or replace function {schema}.archives(p_queue text) returns table (tab text, queue int)
language sql stable set search_path = {schema}, pg_temp as $$
  select 'archive', null::int where p_queue is null
  union all
  select a, q.id from queue q, archive_table(q.storage) a
   where q.kind = 'work' and (p_queue is null and a <> 'archive' or q.name = p_queue)
$$
-- next
create or replace function {schema}.try_list_archive(p_id bigint, p_queue text, p_outcome text, p_after bigint, p_limit int)
returns table (fault jsonb, item jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_from bigint := coalesce(p_id, p_after + 1, 0);
  v_to bigint := coalesce(p_id, 9223372036854775807);
begin
  if p_queue is not null and not exists (select from queue where name = p_queue and kind = 'work') then
    return query select queue_fault(p_queue, 'work'), null::jsonb;
    return;
  end if;
  return query
    select null::jsonb, archive_info(a)
      from archives(p_queue) w, lateral archive_of(w.tab, w.queue, v_from, v_to, p_outcome, p_limit) a
     order by a.id limit p_limit;
end
$$
-- next
create or replace function {schema}.try_count_archive(p_queue text, p_outcome text) returns table (fault jsonb, count bigint)
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  w record;
  v_count bigint;
  v_all bigint := 0;
begin
  if p_queue is not null and not exists (select from queue where name = p_queue and kind = 'work') then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  for w in select * from archives(p_queue) loop
    execute format('select count(*) from %s a where ($1 is null or a.queue = $1) and ($2 is null or a.outcome = $2)', own(w.tab))
       into v_count using w.queue, p_outcome;
    v_all := v_all + v_count;
  end loop;
  return query select null::jsonb, v_all;
end
$$
