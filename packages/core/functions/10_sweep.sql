/* What is ready below the floor is ready as of now: a late commit, a rollback, or what a step of the clock left there. What is
   not ready yet, and below a floor that the clock fell behind, keeps its time: it may be a lease. */
create or replace function {schema}.look_below(q {schema}.queue, p_live smallint[], p_level int, p_floor timestamptz, p_now timestamptz) returns int
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
  v_ids bigint[];
  v_found int;
begin
  -- leaf p_live
  v_ids := array(
    select b.id
      from (select m.id from message m
             where m.queue = q.id and m.priority = p_level and m.vt < 'infinity' and m.vt < p_floor and m.vt <= p_now
             order by m.vt limit 1000 for update skip locked) b
     order by b.id);
  update message m set vt = p_now
   where m.queue = q.id and m.id = any (v_ids);
  -- end
  get diagnostics v_found = row_count;
  return v_found;
end
$$
-- next
/* When the first message at or above p_from is ready. Passes those that another transaction left a trace on: who holds one
   for an hour would hold the floor as long, and if he rolls back it is found below. A claim that committed leaves its own. */
create or replace function {schema}.first_ready(q {schema}.queue, p_live smallint[], p_level int, p_from timestamptz) returns timestamptz
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
begin
  -- leaf p_live
  return (select m.vt from message m
           where m.queue = q.id and m.priority = p_level and m.vt < 'infinity' and m.vt >= p_from and (m.xmax = '0'::xid or m.xmax = m.xmin)
           order by m.vt, m.id limit 1);
  -- end
end
$$
-- next
/* A floor is set where the look at the first message costs pages of dead rows, which a long transaction elsewhere keeps
   vacuum from removing; it is gone again when they are. It never passes a message that can be had, nor, since transactions
   commit late, the time of the sweep before. Returns how many messages lay below. */
create or replace function {schema}.sweep_level(q {schema}.queue, p_live smallint[], p_level int, p_now timestamptz) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  f floor;
  v_found int := 0;
  v_looks boolean;
  v_started timestamptz := clock_timestamp();
  v_before bigint := blocks_fetched(q.storage);
  v_first timestamptz;
  v_costly boolean;
  v_floor timestamptz;
begin
  select * into f from floor where storage = q.storage and queue = q.id and priority = p_level order by version desc limit 1;
  f.vt := coalesce(f.vt, '-infinity');
  v_looks := f.vt > '-infinity' and not p_now between f.looked_at and f.looked_at + 20 * f.look;
  if v_looks then
    v_found := look_below(q, p_live, p_level, f.vt, p_now);
    f.look := clock_timestamp() - v_started;
    f.looked_at := p_now;
  end if;
  if f.vt > '-infinity' and p_now between f.swept_at and f.swept_at + interval '100 milliseconds' then
    return v_found;
  end if;
  v_first := first_ready(q, p_live, p_level, f.vt);
  v_costly := blocks_fetched(q.storage) - v_before > 16;
  if f.vt = '-infinity' then
    if not v_costly then
      return v_found;
    end if;
    v_floor := least(v_first, p_now - interval '1 second');
    f.looked_at := p_now;
    f.look := '0';
  elsif f.vt > p_now or v_looks and v_found = 0 and not v_costly then
    v_floor := '-infinity';
  else
    v_floor := greatest(f.vt, least(v_first, f.swept_at));
  end if;
  insert into floor (storage, queue, priority, vt, swept_at, looked_at, look)
  values (q.storage, q.id, p_level, v_floor, p_now, f.looked_at, f.look);
  /* By its whole key: what was deleted before it may be dead rows that vacuum cannot remove. */
  delete from floor where storage = q.storage and queue = q.id and priority = p_level and version = f.version;
  return v_found;
end
$$
-- next
/* One at a time for each queue; who comes second has nothing to do. */
create or replace function {schema}.sweep(q {schema}.queue) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_now timestamptz := clock();
  v_live smallint[];
  v_found int := 0;
begin
  if q.storage <> 0 then
    execute format('select %I($1)', 'sweep_s' || q.storage) into v_found using q;
    return v_found;
  elsif not pg_try_advisory_xact_lock(lock_space('sweep'), q.id) then
    return 0;
  end if;
  select s.live into v_live from segment s where s.storage = q.storage order by s.generation desc limit 1;
  for v_level in 0 .. q.deepest - 1 loop
    v_found := v_found + sweep_level(q, v_live, v_level, v_now);
  end loop;
  return v_found;
end
$$
-- next
create or replace function {schema}.has_floor(q {schema}.queue) returns boolean
language plpgsql stable set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
begin
  return exists (
    select from generate_series(0, q.deepest - 1) l(level),
                lateral (select vt from floor f where f.storage = q.storage and f.queue = q.id and f.priority = l.level
                          order by f.version desc limit 1) f
     where f.vt > '-infinity');
end
$$
-- next
/* For a read that found nothing: is there something below a floor, or, where no maintenance is at work, in a segment that
   readers do not visit? Then it is ready now. p_blocks: as the read began. */
create or replace function {schema}.found_elsewhere(q {schema}.queue, p_blocks bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  if (blocks_fetched(q.storage) - p_blocks > 16 or has_floor(q)) and sweep(q) > 0 then
    return true;
  end if;
  return not maintained_lately() and (q.grouped_at > clock() - interval '1 day' and regroup(q) > 0 or reopen(q.storage));
end
$$
