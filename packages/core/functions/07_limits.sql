/* {limit, per} with per as text with its unit, into milliseconds; null where it cannot be meant, and where none is. */
create or replace function {schema}.rate_wanted(p jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select jsonb_build_object('limit', w.n, 'per', w.per)
    from (select partition_measure('id', p->'limit') as n, partition_measure('time', p->'per') as per) w
   where jsonb_typeof(p) = 'object' and p - '{limit,per}'::text[] = '{}' and w.n between 1 and 1000000 and w.per >= 1
$$
-- next
create or replace function {schema}.limits_fault(p jsonb) returns jsonb
language sql immutable set search_path = {schema}, pg_temp as $$
  select coalesce(
    argument_fault('fifo', coalesce(jsonb_typeof(p->'fifo'), 'boolean') = 'boolean'),
    argument_fault('fair', coalesce(jsonb_typeof(p->'fair'), 'boolean') = 'boolean'),
    argument_fault('concurrency', coalesce(jsonb_typeof(p->'concurrency'), 'null') = 'null' or partition_measure('id', p->'concurrency') > 0),
    argument_fault('groupConcurrency', coalesce(jsonb_typeof(p->'groupConcurrency'), 'null') = 'null' or partition_measure('id', p->'groupConcurrency') > 0),
    argument_fault('rateLimit', coalesce(jsonb_typeof(p->'rateLimit'), 'null') = 'null' or rate_wanted(p->'rateLimit') is not null),
    argument_fault('groupRateLimit', coalesce(jsonb_typeof(p->'groupRateLimit'), 'null') = 'null' or rate_wanted(p->'groupRateLimit') is not null))
$$
-- next
/* With any of these the claims of a queue go round its groups, and its messages are in the indexes of groups. */
create or replace function {schema}.set_limits(q {schema}.queue, p_patch jsonb) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  n queue;
begin
  if not p_patch ?| '{fifo,fair,concurrency,groupConcurrency,rateLimit,groupRateLimit}' then
    return;
  end if;
  update queue set
    fifo = coalesce((p_patch->>'fifo')::boolean, fifo),
    fair = coalesce((p_patch->>'fair')::boolean, fair),
    concurrency = case when p_patch ? 'concurrency' then (p_patch->>'concurrency')::int else concurrency end,
    group_concurrency = case when p_patch ? 'groupConcurrency' then (p_patch->>'groupConcurrency')::int else group_concurrency end,
    rate = case when p_patch ? 'rateLimit' then rate_wanted(p_patch->'rateLimit') else rate end,
    group_rate = case when p_patch ? 'groupRateLimit' then rate_wanted(p_patch->'groupRateLimit') else group_rate end
   where id = q.id;
  update queue set ungrouped = 0, grouped_at = clock()
   where id = q.id and ungrouped is null and (fifo or fair or coalesce(concurrency, group_concurrency) is not null or coalesce(rate, group_rate) is not null)
  returning * into n;
  if n.id is not null then
    execute format('create sequence if not exists %I.%I minvalue 0', current_schema(), 'turn_' || n.id);
    perform regroup(n);
  end if;
end
$$
-- next
/* Messages that were sent before the queue had groups, or by who did not know of it yet. Those that a transaction has locked are
   for the next time: who waited for one would hold up the settles of the others. */
create or replace function {schema}.regroup(q {schema}.queue) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  v_count int;
begin
  execute format('update %1$I set grp = group_of($2, group_name) where queue = $1 and id = any (array(
    select m.id from %1$I m where m.queue = $1 and m.grp is null for no key update skip locked))', message_table(q.storage)) using q.id, q.ungrouped;
  get diagnostics v_count = row_count;
  return v_count;
end
$$
