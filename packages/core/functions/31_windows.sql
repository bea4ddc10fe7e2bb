/* Up to where the next window may reach: now, where that is not too far; else the farthest tick within so many events, or else the
   next one. With p_before only what was ticked until then. Null: there is nothing yet. past: the last tick that now is past. */
create or replace function {schema}.window_end(p_stream int, p_tick bigint, p_sent bigint, p_max int, p_before timestamptz, out tick bigint, out past bigint, out seen int8multirange, out sent bigint)
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
#variable_conflict use_column
begin
  sent := published(p_stream);
  if p_before is null and sent - p_sent <= p_max then
    tick := null;
  else
    /* What was ticked below p_sent lies behind: without that bound each of those is looked at, again and again. */
    select t.id, t.seen, t.sent into tick, seen, sent from tick t
     where t.stream = p_stream and t.sent between p_sent and p_sent + p_max and t.id > p_tick and (p_before is null or t.at <= p_before) order by t.sent desc, t.id desc limit 1;
    if not found then
      select t.id, t.seen, t.sent into tick, seen, sent from tick t
       where t.stream = p_stream and t.sent > p_sent + p_max and t.id > p_tick and (p_before is null or t.at <= p_before) order by t.sent, t.id limit 1;
    end if;
  end if;
  if tick is null and p_before is null then
    select t.id into past from tick t where t.stream = p_stream order by t.id desc limit 1;
    sent := published(p_stream);
    select seen_now() into seen;
  end if;
end
$$
-- next
/* The window that follows, as the cursor and the content of a batch; null where it has no events, or too few that have not waited long
   enough. What is more than fits is cut into slices, in order of id, handed out one by one. */
create or replace function {schema}.open_window(s {schema}.subscription, b {schema}.batch, p_max int, p_min int, p_max_wait interval, p_before timestamptz, p_now timestamptz)
returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  n batch := b;
  w record;
  v_oldest timestamptz;
  v_root bigint;
begin
  n.base := b.seen;
  n.events := 0;
  loop
    select * into w from window_end(s.stream, n.tick, n.sent, greatest(p_max, p_min), p_before);
    exit when w.seen is null;
    n.tick := greatest(n.tick, w.tick, w.past);
    n.sent := greatest(n.sent, w.sent);
    /* A tick may be older than a position that a reader took for itself. */
    if w.seen @> b.seen then
      n.seen := w.seen;
      n.txids := w.seen - b.seen;
      execute 'select count(*), min(id), max(id), min(at) from ' || events_of(s.stream) into n.events, n.from_id, n.to_id, v_oldest using n.txids;
    end if;
    /* Up to one tick there may be too few, and up to a later one enough. */
    exit when n.events >= p_min or w.tick is null;
  end loop;
  if n.events = 0 and n.sent > b.sent + p_max then
    perform skip_nothing(n, open_batches(b), p_now);
  end if;
  if n.events = 0 or n.events < p_min and coalesce(v_oldest > p_now - p_max_wait, true) then
    return null;
  end if;
  n.root := nextval('batch_id');
  n.slice := 1;
  n.rest := null;
  if n.events > p_max then
    perform cut(s, n, p_max);
    n.rest := 1;
    n.rest_root := n.root;
    n := next_slice(n);
  end if;
  return n;
end
$$
-- next
/* Past what was rolled back, else every call would go through its ticks again. */
create or replace function {schema}.skip_nothing(n {schema}.batch, p_open bigint[], p_now timestamptz) returns void
language sql volatile set search_path = {schema}, pg_temp as $$
  insert into batch (subscription, at, seen, tick, sent, open, base, events) values (n.subscription, p_now, n.seen, n.tick, n.sent, p_open, n.seen, 0)
$$
-- next
create or replace function {schema}.cut(s {schema}.subscription, n {schema}.batch, p_max int) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  delete from slice where subscription = s.id;
  execute 'insert into slice (subscription, root, number, base, txids, from_id, to_id, events)
    select $3, $4, part, $5, range_agg(int8range(txid, txid, ''[]'')), min(id), max(id), count(*)
      from (select txid, id, (row_number() over (order by id) - 1) / $2 + 1 as part from ' || events_of(s.stream) || ') p group by part'
    using n.txids, p_max, s.id, n.root, n.base;
end
$$
-- next
/* The next slice of the window that the cursor is in. */
create or replace function {schema}.next_slice(b {schema}.batch) returns {schema}.batch
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  n batch := b;
  p slice;
begin
  select * into p from slice where subscription = b.subscription and root = b.rest_root and number = b.rest;
  n.root := p.root;
  n.slice := p.number;
  n.base := p.base;
  n.txids := p.txids;
  n.from_id := p.from_id;
  n.to_id := p.to_id;
  n.events := p.events;
  n.rest := case when exists (select from slice where subscription = b.subscription and root = b.rest_root and number = b.rest + 1) then b.rest + 1 end;
  n.rest_root := case when n.rest is not null then b.rest_root end;
  return n;
end
$$
