/* The one clock of the installation. Tests move time by replacing it. Read it once into a variable: a volatile call
   inside a statement is no index bound. */
create or replace function {schema}.clock() returns timestamptz language sql volatile as 'select clock_timestamp()'
-- next
/* The one definition of a message's states, used by metrics, inspection and audit. No SET clause: it is inlined. */
create or replace function {schema}.message_state(p_lease bigint, p_vt timestamptz, p_now timestamptz) returns text
language sql immutable as $$
  select case
    when p_vt = 'infinity' then 'parked'
    when p_vt <= p_now then 'visible'
    when p_lease is not null then 'inFlight'
    else 'delayed'
  end
$$
-- next
/* What an operation answers when it refuses: a row, never an error of the server, which would poison the caller's transaction. */
create or replace function {schema}.queue_fault(p_queue text, p_kind text) returns jsonb
language sql stable set search_path = {schema}, pg_temp as $$
  select coalesce(
    (select jsonb_build_object('code', 'wrong_kind', 'queue', p_queue, 'expected', p_kind, 'actual', kind)
       from queue where name = p_queue and dropped_at is null and kind <> p_kind),
    jsonb_build_object('code', case p_kind when 'stream' then 'stream_not_found' else 'queue_not_found' end, 'queue', p_queue))
$$
-- next
/* A claim or an install sees nothing new, or meets 40001, under a snapshot that is older than its own statement. */
create or replace function {schema}.isolation_fault() returns jsonb
language sql stable as $$
  select case when current_setting('transaction_isolation') in ('repeatable read', 'serializable')
    then jsonb_build_object('code', 'isolation', 'actual', current_setting('transaction_isolation')) end
$$
-- next
/* The public SQL functions raise what the client gets as a row. SQLSTATEs are documented in docs/sql.md. */
create or replace function {schema}.raise_fault(p_fault jsonb) returns void
language plpgsql stable as $$
declare
  v_code text := p_fault->>'code';
begin
  if p_fault is null then
    return;
  end if;
  raise exception using
    message = case v_code
      when 'queue_not_found' then format('There is no queue "%s".', p_fault->>'queue')
      when 'stream_not_found' then format('There is no stream "%s".', p_fault->>'queue')
      when 'subscription_not_found' then format('"%s" has no subscription "%s".', p_fault->>'stream', p_fault->>'subscription')
      when 'stale_batch' then format('Batch %s of "%s" has ended, or is held by another by now.', p_fault->>'batch', p_fault->>'subscription')
      when 'subscription_expired' then format('The subscription "%s" of "%s" lagged behind too far and has expired.', p_fault->>'subscription', p_fault->>'stream')
      when 'other_cluster' then 'This was restored into another cluster: call after_restore().'
      when 'stream_closed' then format('The stream "%s" is closed.', p_fault->>'stream')
      when 'transaction_limit' then format('A transaction may publish %s event(s) to "%s".', p_fault->>'limit', p_fault->>'stream')
      when 'stream_in_use' then format('The stream "%s" is in use by the subscriptions %s and the captured tables %s.', p_fault->>'stream', p_fault->>'subscriptions', p_fault->>'tables')
      when 'tick_not_found' then format('"%s" has no tick %s.', p_fault->>'stream', p_fault->>'tick')
      when 'wrong_kind' then format('"%s" is of kind %s, not %s.', p_fault->>'queue', p_fault->>'actual', p_fault->>'expected')
      when 'stale_lease' then format('Message %s of "%s" is no longer held under this lease.', p_fault->>'id', p_fault->>'queue')
      when 'worker_not_found' then format('There is no worker "%s".', p_fault->>'worker')
      when 'worker_state' then format('The worker "%s" is %s, and cannot be %s.', p_fault->>'worker', p_fault->>'from', p_fault->>'to')
      when 'isolation' then format('This needs READ COMMITTED and met %s.', p_fault->>'actual')
      when 'invalid_argument' then format('%s cannot be meant.', p_fault->>'argument')
      when 'nothing_died' then format('Nothing died in "%s": others bury their dead there. Name the queue that they died in, of %s.', p_fault->>'queue', p_fault->>'deadLetterOf')
      else format('%s: %s', v_code, p_fault - 'code')
    end,
    detail = p_fault::text,
    errcode = case v_code
      when 'queue_not_found' then 'SL001'
      when 'wrong_kind' then 'SL002'
      when 'stale_lease' then 'SL003'
      when 'priority' then 'SL004'
      when 'isolation' then 'SL005'
      when 'queue_already_exists' then 'SL006'
      when 'options_differ' then 'SL007'
      when 'dead_letter_cycle' then 'SL008'
      when 'queue_in_use' then 'SL009'
      when 'storage_fixed' then 'SL010'
      when 'worker_not_found' then 'SL011'
      when 'worker_state' then 'SL012'
      when 'stream_not_found' then 'SL013'
      when 'subscription_not_found' then 'SL014'
      when 'stale_batch' then 'SL015'
      when 'subscription_expired' then 'SL016'
      when 'other_cluster' then 'SL017'
      when 'stream_closed' then 'SL018'
      when 'transaction_limit' then 'SL019'
      when 'stream_in_use' then 'SL020'
      when 'tick_not_found' then 'SL021'
      when 'ticker' then 'SL021'
      when 'invalid_argument' then '22023'
      when 'nothing_died' then '22023'
      else 'SL000'
    end;
end
$$
-- next
/* What the SQL functions will not take: null would mean another thing than was meant, and a time that never comes, which
   Postgres has since 17, leaves a message where nobody finds it. */
create or replace function {schema}.argument_fault(p_argument text, p_fine boolean) returns jsonb
language sql immutable as $$
  select case when p_fine is not true then jsonb_build_object('code', 'invalid_argument', 'argument', p_argument) end
$$
