/* Changes a message that nobody holds. p_patch: {payload, headers, priority, delay, at, expireAt, group}, times in milliseconds. One that waits for others
   is ready no earlier than they let it be. outcome: edited; held, by a reader; or no row. */
create or replace function {schema}.try_edit(p_queue text, p_id bigint, p_patch jsonb) returns table (fault jsonb, outcome text, visible_at timestamptz)
language plpgsql volatile set search_path = {schema}, pg_temp set enable_seqscan = off as $$
#variable_conflict use_column
declare
  q queue;
  v_now timestamptz := clock();
  v_at timestamptz;
  v_held boolean;
  v_vt timestamptz;
begin
  select * into q from queue where name = p_queue and dropped_at is null;
  if q.kind is distinct from 'work' or not hold_storage(q) then
    return query select queue_fault(p_queue, 'work'), null::text, null::timestamptz;
    return;
  end if;
  if items_fault(q, jsonb_build_array(p_patch)) is not null then
    return query select items_fault(q, jsonb_build_array(p_patch)) - 'index', null::text, null::timestamptz;
    return;
  end if;
  for v_pass in 1 .. 2 loop
    execute format('select message_state(lease, vt, $3) = ''inFlight'' from %I where queue = $1 and id = $2 for no key update', message_table(q.storage))
       into v_held using q.id, p_id, v_now;
    exit when v_held is not null;
    perform flipping(q.storage, null);
  end loop;
  if v_held is null then
    return;
  elsif v_held then
    return query select null::jsonb, 'held', null::timestamptz;
    return;
  end if;
  v_at := case when p_patch ?| '{delay,at}' then ready_at(p_patch, v_now) end;
  execute format('update %I set
      payload = coalesce($3->''payload'', payload), headers = case when $3 ? ''headers'' then $3->''headers'' else headers end,
      priority = coalesce(($3->>''priority'')::int, priority), vt = case when vt = ''infinity'' then vt else coalesce($4, vt) end, lease = null,
      expire_at = case when $3 ? ''expireAt'' then to_timestamp(($3->>''expireAt'')::float8 / 1000) else expire_at end,
      group_name = coalesce($3->>''group'', group_name), grp = group_of($5, coalesce($3->>''group'', group_name))
    where queue = $1 and id = $2 returning vt', message_table(q.storage)) into v_vt using q.id, p_id, p_patch, v_at, q.ungrouped;
  update dependency set at = v_at where child = p_id and v_at is not null;
  return query select null::jsonb, 'edited', nullif(v_vt, 'infinity');
end
$$
