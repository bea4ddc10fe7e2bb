/* The first group after p_after, in the order of hashes, that has a message which could be ready; null at the end. */
create or replace function {schema}.next_group(q {schema}.queue, p_live smallint[], p_after bigint) returns bigint
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
as $$
begin
  -- leaf p_live
  return (select m.grp from message m where m.queue = q.id and m.grp > p_after and isfinite(m.vt) order by m.grp, m.priority limit 1);
  -- end
end
$$
-- next
/* How many messages of a group are held, or of all groups where p_group is null: under a lease that lives, or by a transaction that
   settles them and may well outlive the lease. */
create or replace function {schema}.held_of(q {schema}.queue, p_live smallint[], p_group bigint, p_now timestamptz) returns int
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  v_leased int;
  v_over int;
  v_free bigint[];
begin
  if p_group is null then
    -- leaf p_live
    select count(*), count(*) filter (where m.vt <= p_now) into v_leased, v_over from message m where m.queue = q.id and m.grp is not null and m.lease is not null;
    if v_over > 0 then
      v_free := array(select m.id from message m where m.queue = q.id and m.grp is not null and m.lease is not null and m.vt <= p_now for key share skip locked);
    end if;
    -- end
  else
    -- leaf p_live
    select count(*), count(*) filter (where m.vt <= p_now) into v_leased, v_over from message m where m.queue = q.id and m.grp = p_group and m.lease is not null;
    if v_over > 0 then
      v_free := array(select m.id from message m where m.queue = q.id and m.grp = p_group and m.lease is not null and m.vt <= p_now for key share skip locked);
    end if;
    -- end
  end if;
  return v_leased - coalesce(cardinality(v_free), 0);
end
$$
-- next
/* Up to p_limit ready messages of a group, locked, in the order of delivery. Of a group in strict order only its oldest message counts:
   while that is held, delayed or waits for another attempt, the group has none. It is asked for in a way that only the index of that order answers. */
create or replace function {schema}.lock_group(q {schema}.queue, p_live smallint[], p_group bigint, p_limit int, p_now timestamptz, p_filter jsonb) returns bigint[]
language plpgsql volatile
set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_sort = off
set jit = off
as $$
declare
  v_headers jsonb := p_filter->'headers';
  v_payload jsonb := p_filter->'payload';
begin
  if q.fifo and p_group <> 0 then
    -- leaf p_live
    return array(
      select m.id from message m
       where m.queue = q.id and m.vt <= p_now
         and m.id = (select h.id from (select o.grp, o.id from message o where o.queue = q.id and o.grp >= p_group order by o.grp, o.id limit 1) h where h.grp = p_group)
         and (v_headers is null or coalesce(m.headers, '{}') @> v_headers) and (v_payload is null or m.payload @> v_payload)
         for update skip locked);
    -- end
  end if;
  -- leaf p_live
  return array(
    select r.id
      from generate_series(0, q.deepest - 1) l(level),
           lateral (
             select m.id from message m
              where m.queue = q.id and m.grp = p_group and m.priority = l.level and isfinite(m.vt) and m.vt <= p_now
                and (v_headers is null or coalesce(m.headers, '{}') @> v_headers) and (v_payload is null or m.payload @> v_payload)
              order by m.vt, m.id limit p_limit for update skip locked) r
     limit p_limit);
  -- end
end
$$
-- next
/* A turn among the claims of a queue or of a group, until the end of the transaction. Others take milliseconds, but for those that
   a transaction of a caller's holds: they are not waited for. */
create or replace function {schema}.take_turn(p_purpose text, p_number bigint, p_tries int) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  for i in 1 .. p_tries loop
    if pg_try_advisory_xact_lock(lock_space(p_purpose), (p_number & 2147483647)::int) then
      return true;
    end if;
    perform pg_sleep(0.001);
  end loop;
  return false;
end
$$
-- next
create or replace function {schema}.rate_per(p_rate jsonb) returns interval
language sql immutable as $$ select (p_rate->>'per')::float8 * interval '1 millisecond' $$
-- next
/* How many more a rate allows: what is used in a slice that is partly over counts whole, so that no interval has more than the limit.
   Slices far ahead are of a clock that has been put back since; near ones are of claims that began a little later. */
create or replace function {schema}.rate_left(q {schema}.queue, p_group bigint, p_rate jsonb, p_now timestamptz) returns int
language sql stable set search_path = {schema}, pg_temp as $$
  select (p_rate->>'limit')::int - coalesce(sum(u.used), 0)::int from rate_use u
   where u.queue = q.id and u.grp = p_group and u.slice > p_now - rate_per(p_rate) * 1.01 and u.slice < p_now + interval '1 minute'
$$
-- next
/* Rolled back with the claim: then nothing was delivered. */
create or replace function {schema}.use_rate(q {schema}.queue, p_group bigint, p_rate jsonb, p_count int, p_now timestamptz) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
begin
  insert into rate_use as u (queue, grp, slice, used) values (q.id, p_group, date_bin(rate_per(p_rate) / 100, p_now, 'epoch'), p_count)
    on conflict (queue, grp, slice) do update set used = u.used + excluded.used;
  delete from rate_use where queue = q.id and grp = p_group and slice < p_now - rate_per(p_rate) * 1.02;
end
$$
-- next
/* What no rate counts any more, of groups that nobody may ever claim from again. */
create or replace function {schema}.clear_rates() returns void
language sql volatile set search_path = {schema}, pg_temp as $$
  delete from rate_use u using queue q
   where q.id = u.queue and u.slice not between clock() - coalesce(rate_per(case u.grp when -1 then q.rate else q.group_rate end) * 1.02, '1 minute') and clock() + interval '1 minute'
$$
-- next
/* How many messages of a group a claim may take that has p_taken of it. Where there is a limit it is decided by one claim at a time,
   for one of 512 sets of groups each, since the server's table of locks is small. */
create or replace function {schema}.group_left(q {schema}.queue, p_live smallint[], p_group bigint, p_taken int, p_most int, p_now timestamptz) returns int
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_left int := p_most;
begin
  if p_group = 0 or not q.fifo and q.group_concurrency is null and q.group_rate is null then
    return v_left;
  elsif p_taken = 0 and not take_turn('group ' || q.id, p_group & 511, 1) or q.fifo and p_taken > 0 then
    return 0;
  end if;
  /* In strict order too: a message whose sender committed late, or that was redriven, comes before one that is held. */
  if q.fifo or q.group_concurrency is not null then
    v_left := least(v_left, case when q.fifo then 1 else q.group_concurrency end - p_taken - held_of(q, p_live, p_group, p_now));
  end if;
  if q.group_rate is not null then
    v_left := least(v_left, rate_left(q, p_group, q.group_rate, p_now) - p_taken);
  end if;
  return v_left;
end
$$
-- next
/* How many messages of the queue a claim may take. */
create or replace function {schema}.queue_left(q {schema}.queue, p_live smallint[], p_most int, p_now timestamptz) returns int
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_left int := p_most;
begin
  if q.concurrency is null and q.rate is null then
    return v_left;
  elsif not take_turn('running', q.id, 20) then
    return 0;
  end if;
  if q.concurrency is not null then
    v_left := least(v_left, q.concurrency - held_of(q, p_live, null, p_now));
  end if;
  if q.rate is not null then
    v_left := least(v_left, rate_left(q, -1, q.rate, p_now));
  end if;
  return v_left;
end
$$
-- next
create or replace function {schema}.goes_round(q {schema}.queue) returns boolean
language sql immutable as $$
  select q.fifo or q.fair or coalesce(q.concurrency, q.group_concurrency) is not null or coalesce(q.rate, q.group_rate) is not null
$$
-- next
/* As lock_ready, but round the groups: each claim goes on behind the group that was served last, which makes that the least
   recently served first, and takes a few messages of each at a time, of each as many. Where it goes on is a sequence, since that is
   hot, and no claim may wait for another one's transaction. One that a flip overtook gives nothing: messages that count were moved. */
create or replace function {schema}.lock_grouped(q {schema}.queue, p_live smallint[], p_limit int, p_now timestamptz, p_filter jsonb) returns bigint[]
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_ids bigint[] := '{}';
  v_groups bigint[] := '{}';
  v_some bigint[];
  v_left int := queue_left(q, p_live, p_limit, p_now);
  v_turn regclass := own_relation('turn_' || q.id);
  v_group bigint;
  v_at bigint := coalesce(pg_sequence_last_value(v_turn), -1);
  v_start bigint := v_at;
  v_wrapped boolean := false;
  v_once_round boolean := false;
  v_again boolean := false;
  v_vain int := 0;
  v_of int;
  v_portion int;
  v_share int;
begin
  /* Once round without finding anything ends it, and so do many groups in vain: the next claim goes on there. */
  while cardinality(v_ids) < v_left and v_vain < 500 loop
    v_group := next_group(q, p_live, v_at);
    if v_group is null then
      exit when v_wrapped;
      v_wrapped := true;
      v_again := v_once_round;
      v_once_round := true;
      v_at := -1;
      continue;
    end if;
    v_at := v_group;
    v_of := case when v_once_round and (v_group > v_start or v_again) then coalesce(cardinality(array_positions(v_groups, v_group)), 0) else 0 end;
    v_again := v_again or v_once_round and v_group > v_start;
    v_portion := greatest(1, p_limit / 8, v_of);
    v_share := group_left(q, p_live, v_group, v_of, least(v_left - cardinality(v_ids), v_portion), p_now);
    v_some := '{}';
    if v_share > 0 then
      v_some := lock_group(q, p_live, v_group, v_of + v_share, p_now, p_filter);
      if v_of > 0 then
        /* Those that this claim has taken before are found again. */
        v_some := array(select s.id from unnest(v_some) with ordinality s(id, n) where s.id not in (select unnest(v_ids)) order by s.n limit v_share);
      end if;
    end if;
    v_vain := case when v_some = '{}' then v_vain + 1 else 0 end;
    if v_some <> '{}' then
      v_wrapped := false;
      v_ids := v_ids || v_some;
      v_groups := v_groups || array_fill(v_group, array[cardinality(v_some)]);
      if cardinality(v_ids) = v_left and v_left = p_limit and cardinality(v_some) < v_portion then
        v_at := v_group - 1; /* Cut short: the next claim begins with it. */
      end if;
    end if;
  end loop;
  if cardinality(p_live) = 1 and p_live is distinct from (select s.live from segment s where s.storage = q.storage order by s.generation desc limit 1) then
    return '{}';
  end if;
  if v_ids <> '{}' then
    perform count_rates(q, v_groups, clock());
  end if;
  if v_turn is not null then
    perform setval(v_turn, case when v_at >= 0 then v_at else 9223372036854775807 end); /* As good as from the beginning. */
  end if;
  return v_ids;
end
$$
-- next
create or replace function {schema}.count_rates(q {schema}.queue, p_groups bigint[], p_now timestamptz) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  if q.rate is not null then
    perform use_rate(q, -1, q.rate, cardinality(p_groups), p_now);
  end if;
  if q.group_rate is not null then
    perform use_rate(q, u.grp, q.group_rate, count(*)::int, p_now) from unnest(p_groups) u(grp) where u.grp <> 0 group by u.grp;
  end if;
end
$$
