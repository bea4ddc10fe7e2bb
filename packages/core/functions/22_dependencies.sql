/* Parks new messages behind those that they name, which cannot leave before this transaction has ended: as foreign keys hold
   what they point to. One that is not there is done; of one that ended otherwise ifFailed decides. */
create or replace function {schema}.wait_for_others(q {schema}.queue, p_items jsonb, p_ids bigint[], p_created boolean[], p_now timestamptz) returns jsonb
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  v record;
  v_parent bigint;
  p queue;
  v_there boolean;
  v_fault jsonb;
begin
  for v in
    select p_ids[i.n] as child, a.o, coalesce(i.o->>'ifFailed', 'cancel') as if_failed, ready_at(i.o, p_now) as at
      from jsonb_array_elements(p_items) with ordinality i(o, n), jsonb_array_elements(i.o->'after') a(o)
     where p_created[i.n]
     order by coalesce(p_ids[(a.o->>'index')::int + 1], (a.o->>'id')::bigint)
  loop
    v_parent := coalesce(p_ids[(v.o->>'index')::int + 1], (v.o->>'id')::bigint);
    p := q;
    if v.o->>'queue' <> q.name then
      select * into p from queue where name = v.o->>'queue' and dropped_at is null;
      if p.kind is distinct from 'work' or not hold_storage(p) then
        return queue_fault(v.o->>'queue', 'work');
      end if;
    end if;
    /* Twice: it may just be moved by a flip. */
    for v_pass in 1 .. 2 loop
      execute format('select true from %I where queue = $1 and id = $2 for key share', message_table(p.storage)) into v_there using p.id, v_parent;
      exit when v_there;
      perform flipping(p.storage, null);
    end loop;
    if v_there or v.if_failed <> 'run' and ended_badly(p, v_parent) then
      if v_there is null and v.if_failed = 'cancel' then
        return jsonb_build_object('code', 'dependency_failed', 'queue', p.name, 'id', v_parent::text);
      end if;
      insert into dependency (queue, parent, child_queue, child, if_failed, at, failed) values (p.id, v_parent, q.id, v.child, v.if_failed, v.at, v_there is null) on conflict do nothing;
    end if;
  end loop;
  for v in
    select p_ids[i.n] as child, ready_at(i.o, p_now) as at from jsonb_array_elements(p_items) with ordinality i(o, n)
     where i.o ? 'after' and p_created[i.n] and not exists (select from dependency d where d.child = p_ids[i.n])
  loop
    execute format('update %I set vt = $3 where queue = $1 and id = $2', message_table(q.storage)) using q.id, v.child, v.at;
  end loop;
  return null;
end
$$
-- next
/* In the archive otherwise than as done, or in the dead-letter queue. */
create or replace function {schema}.ended_badly(q {schema}.queue, p_id bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  d queue;
  v_there boolean;
begin
  execute format('select true from %I where queue = $1 and id = $2 and outcome <> ''done'' limit 1', archive_table(q.storage)) into v_there using q.id, p_id;
  select * into d from queue where id = q.dead_letter and dropped_at is null;
  if v_there is null and d.id is not null and hold_storage(d) then
    execute format('select true from %I where queue = $1 and id = $2', message_table(d.storage)) into v_there using d.id, p_id;
  end if;
  return coalesce(v_there, false);
end
$$
-- next
/* For every way in which messages leave a queue: those of p_ids that are gone, or all where it is null, no longer hold back who
   waited for them. Of what did not end as done each who waited decides: he is cancelled, and so on along the chain; or runs; or waits on. */
create or replace function {schema}.release_dependants(q {schema}.queue, p_ids bigint[], p_done boolean) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_parents bigint[];
  v_queues int[];
  v_done boolean := p_done;
  v_next record;
begin
  if p_ids is null then
    v_parents := array(select distinct d.parent from dependency d where d.queue = q.id);
  else
    execute format('select array(select x.parent from (select distinct d.parent from dependency d where d.queue = $1 and d.parent = any ($2)) x
      where not exists (select from %I m where m.queue = $1 and m.id = x.parent))', message_table(q.storage)) into v_parents using q.id, p_ids;
  end if;
  v_queues := array_fill(q.id, array[cardinality(v_parents)]);
  while v_parents <> '{}' loop
    v_next := release_children(v_queues, v_parents, v_done);
    v_queues := v_next.queues;
    v_parents := v_next.ids;
    v_done := false;
  end loop;
end
$$
-- next
/* The children of some parents; answers with those that were cancelled, which are parents themselves. */
create or replace function {schema}.release_children(p_queues int[], p_parents bigint[], p_done boolean, out queues int[], out ids bigint[])
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v record;
  c queue;
  v_held boolean;
begin
  queues := '{}';
  ids := '{}';
  if not p_done then
    update dependency d set failed = true from unnest(p_queues, p_parents) p(queue, id) where d.queue = p.queue and d.parent = p.id and d.if_failed = 'wait';
  end if;
  for v in
    with gone as (
      delete from dependency d using unnest(p_queues, p_parents) p(queue, id)
       where d.queue = p.queue and d.parent = p.id and case when p_done then not d.failed else d.if_failed <> 'wait' end
      returning d.child_queue, d.child, d.at, not p_done and d.if_failed = 'cancel' as cancel)
    select child_queue, child, max(at) as at, bool_or(cancel) as cancel from gone group by child_queue, child order by child
  loop
    select * into c from queue where id = v.child_queue and dropped_at is null;
    continue when c.id is null or not hold_storage(c);
    if v.cancel then
      perform lock_child(c, v.child);
      execute format('select message_state(lease, vt, $3) = ''inFlight'' from %I where queue = $1 and id = $2', message_table(c.storage))
         into v_held using c.id, v.child, clock();
      if v_held then
        /* An operator made it ready, and a reader has it. */
        insert into cancellation (queue, id, at) values (c.id, v.child, clock()) on conflict do nothing;
        continue;
      end if;
      perform discard_rows(c, '{0,1}', array[v.child], 'cancelled', clock());
      queues := queues || c.id;
      ids := ids || v.child;
    else
      perform wake_child(c, v.child, v.at);
    end if;
  end loop;
end
$$
-- next
/* Twice: it may just be moved by a flip. One under an older snapshot fails with 40001, since the row was touched. */
create or replace function {schema}.lock_child(c {schema}.queue, p_child bigint) returns boolean
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
declare
  v_count int;
begin
  for v_pass in 1 .. 2 loop
    execute format('update %I set vt = vt where queue = $1 and id = $2', message_table(c.storage)) using c.id, p_child;
    get diagnostics v_count = row_count;
    exit when v_count > 0;
    perform flipping(c.storage, null);
  end loop;
  return v_count > 0;
end
$$
-- next
/* Ready, if nothing else holds it back. Of two parents that end at once the second waits here for the first, and sees what it did. */
create or replace function {schema}.wake_child(c {schema}.queue, p_child bigint, p_at timestamptz) returns void
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
begin
  /* Two statements: the second one's snapshot comes after the wait. */
  if not lock_child(c, p_child) then
    return;
  end if;
  if not exists (select from dependency where child = p_child) then
    execute format('update %I set vt = greatest($3, $4) where queue = $1 and id = $2 and vt = ''infinity''', message_table(c.storage)) using c.id, p_child, p_at, clock();
    if c.notify = 'transaction' then
      perform pg_notify(current_schema() || '_wake', c.name);
    end if;
  end if;
end
$$
