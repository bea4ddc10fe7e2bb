/* Takes a key in the caller's transaction: first is true where nobody has it, and the work is to be done. Waits for a transaction that
   has taken it and is open; where that commits, the result is what it kept. */
create or replace function {schema}.try_once(p_key text, p_keep interval) returns table (first boolean, result jsonb)
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_now timestamptz := clock();
begin
  loop
    insert into once (key, at, keep_until) values (p_key, v_now, v_now + p_keep) on conflict (key) do nothing;
    if found then
      return query select true, null::jsonb;
      return;
    end if;
    return query select false, o.result from once o where o.key = p_key;
    exit when found; /* not there: expired at this very moment */
  end loop;
end
$$
-- next
/* Of the transaction that took the key. */
create or replace function {schema}.keep_once(p_key text, p_result jsonb) returns void
language sql volatile set search_path = {schema}, pg_temp as $$
  update once set result = p_result where key = p_key
$$
-- next
/* True for the one transaction that is to do the work of this key. */
create or replace function {schema}.once(key text, keep interval default '30 days') returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault(coalesce(
    argument_fault('key', length(key) between 1 and 500),
    argument_fault('keep', keep > '0' and isfinite(keep))));
  return (select first from try_once(key, keep));
end
$$
-- next
create or replace function {schema}.expire_once(p_limit int default 5000) returns int
language plpgsql volatile set search_path = {schema}, pg_temp set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
declare
  v_now timestamptz := clock();
  v_count int;
begin
  delete from once where key in (select o.key from once o where o.keep_until < v_now order by o.keep_until limit p_limit for update skip locked);
  get diagnostics v_count = row_count;
  return v_count;
end
$$
-- next
create or replace function {schema}.installation_id() returns text
language sql stable set search_path = {schema}, pg_temp as 'select id from installation'
