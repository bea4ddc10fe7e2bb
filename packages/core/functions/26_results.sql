/* What became of messages whose queue keeps that. A message that came back from the dead has the newest. */
create or replace function {schema}.keep_results(q {schema}.queue, p_ids bigint[], p_outcome text, p_values jsonb, p_errors jsonb[], p_now timestamptz) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
begin
  insert into result (id, queue, outcome, value, error, at, until)
  select u.id, q.id, p_outcome, p_values->(u.n::int - 1), u.error, p_now, p_now + q.result_retention from unnest(p_ids, p_errors) with ordinality u(id, error, n)
  on conflict (id) do update set queue = excluded.queue, outcome = excluded.outcome, value = excluded.value, error = excluded.error, at = excluded.at, until = excluded.until;
end
$$
-- next
/* Of those that have ended. By the primary key, however many are asked for. */
create or replace function {schema}.results_of(p_ids bigint[]) returns table (id bigint, outcome text, value jsonb, error jsonb)
language plpgsql stable set search_path = {schema}, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
begin
  return query select r.id, r.outcome, r.value, r.error from unnest(p_ids) u(id), lateral (select * from result x where x.id = u.id offset 0) r where r.until > clock();
end
$$
-- next
/* How far a handler is. Not in the message's row, which a transaction may have locked; only the holder of the lease may say it. */
create or replace function {schema}.try_progress(p_queue text, p_id bigint, p_lease bigint, p_value float8, p_note text) returns table (fault jsonb, id bigint)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
#variable_conflict use_column
declare
  q queue;
  v_held boolean;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::bigint;
    return;
  end if;
  execute format('select true from %I where queue = $1 and id = $2 and lease = $3', message_table(q.storage)) into v_held using q.id, p_id, p_lease;
  if v_held then
    return query insert into progress as p (id, value, note, at) values (p_id, p_value, p_note, clock())
      on conflict (id) do update set value = excluded.value, note = excluded.note, at = excluded.at returning null::jsonb, p.id;
  end if;
end
$$
-- next
/* Results whose time is over, and how far messages were that are gone since a day. */
create or replace function {schema}.clear_results(p_limit int default 5000) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
begin
  delete from result where id in (select r.id from result r where r.until < clock() order by r.until limit p_limit for update skip locked);
  delete from progress where at < clock() - interval '1 day';
end
$$
