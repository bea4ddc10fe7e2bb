/* For a client that misses a function: roles may not look into the table. */
create or replace function {schema}.installed_version() returns int
language sql stable set search_path = {schema}, pg_temp as 'select max(version) from migration'
-- next
/* What each role may call, by name. An admin may call everything that anybody may. */
create or replace function {schema}.role_functions(p_kind text) returns text[]
language sql immutable as $$
  select case p_kind
    when 'producer' then '{installed_version,send,send_batch,cancel,try_send,try_send_batch,try_send_with,try_edit,try_cancel,results_of,insert_event,try_publish,try_forward}'
    when 'consumer' then '{installed_version,read,pop,delete,archive,release,set_vt,extend,retry,snooze,dead_letter,try_read,try_pop,try_delete,try_archive,try_settle,try_set_vt,try_lock,try_finish,beat,leave_worker,maintain,flip_step,due_partitions,partition_step,expire_archive,clear_leftovers,due_schedules,fire_schedule,try_progress,once,try_once,keep_once,expire_once,installation_id,try_next_batch,reading_probe,try_batch_events,try_lock_batch,try_renew_batch,try_finish_batch,try_forward_source,next_batch,batch_events,renew_batch,release_batch,finish_batch,try_tick,due_streams,rotate_step,clear_batches,check_lags}'
    when 'reader' then '{installed_version,storage_differences,metrics,try_metrics,list_queues,count_queues,try_get_queue,try_list_messages,try_count_messages,try_list_archive,try_count_archive,try_get_schedule,list_schedules,try_list_workers,try_count_workers,try_get_worker,try_worker_health,try_stream_info,try_get_stream,try_list_streams,try_list_subscriptions,try_list_dead_events}'
    when 'admin' then '{create_queue,update_queue,drop_queue,purge,admin_delete,admin_archive,admin_set_vt,pause_queue,resume_queue,redrive,try_pause,try_redrive,try_create_queue,try_update_queue,try_drop_queue,try_purge,try_admin_delete,try_admin_archive,try_admin_set_vt,try_upsert_schedule,try_pause_schedule,try_resume_schedule,try_remove_schedule,try_run_schedule,suspend_worker,resume_worker,shutdown_worker,purge_workers,try_tell_worker,create_stream,update_stream,drop_stream,create_subscription,drop_subscription,force_tick,after_restore,promote_stream,try_promote_stream,try_create_stream,try_update_stream,try_drop_stream,try_create_subscription,try_update_subscription,try_reposition,try_drop_subscription,try_redrive_events,try_after_restore,capture,capture_plan,try_capture_table,capture_row,expression_fault}'
  end::text[]
$$
-- next
/* Makes the role unless there is one, and lets it call the functions of its kind. No rights on tables: the functions run as
   the owner of the schema. */
create or replace function {schema}.set_role(p_kind text, p_name text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
begin
  perform raise_fault(coalesce(
    argument_fault('p_kind', p_kind in ('producer', 'consumer', 'reader', 'admin')),
    argument_fault('p_name', length(p_name) > 0)));
  if to_regrole(quote_ident(p_name)) is null then
    begin
      execute format('create role %I nologin', p_name);
    exception when duplicate_object or unique_violation then
      null; /* by another database of this cluster, at the same moment */
    end;
  end if;
  insert into role (kind, name) values (p_kind, p_name) on conflict do nothing;
  perform grant_role(p_kind, p_name);
end
$$
-- next
create or replace function {schema}.grant_role(p_kind text, p_name text) returns void
language plpgsql volatile set search_path = {schema}, pg_temp as $$
declare
  v_names text[] := role_functions(p_kind)
    || case when p_kind = 'admin' then role_functions('producer') || role_functions('consumer') || role_functions('reader') else '{}' end;
  v_function text;
begin
  execute format('grant usage on schema %I to %I', current_schema(), p_name);
  for v_function in
    select format('%I(%s)', proname, pg_get_function_identity_arguments(oid)) from pg_proc
     where pronamespace = own_schema() and proname = any (v_names)
  loop
    execute format('grant execute on function %s to %I', v_function, p_name);
  end loop;
end
$$
-- next
/* Whoever may come into the schema may still call nothing that was not granted. What a role may call runs as the owner. */
do $$
declare
  v_function text;
begin
  revoke execute on all functions in schema {schema} from public;
  for v_function in
    select format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace
     where p.pronamespace = '{schema}'::regnamespace
       /* The triggers of a table are made by whoever owns it. */
       and p.proname not in ('try_capture_table', 'capture_row', 'expression_fault')
       and p.proname = any ({schema}.role_functions('producer') || {schema}.role_functions('consumer') || {schema}.role_functions('reader') || {schema}.role_functions('admin'))
  loop
    execute 'alter function ' || v_function || ' security definer';
  end loop;
  perform {schema}.grant_role(kind, name) from {schema}.role where to_regrole(quote_ident(name)) is not null;
end $$
