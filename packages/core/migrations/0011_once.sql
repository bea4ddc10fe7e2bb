/* What was done once. A key commits with the effects of its work, and whoever brings it again waits for that. */
create table {schema}.once (
  key text collate "C" primary key check (length(key) between 1 and 500),
  at timestamptz not null,
  keep_until timestamptz not null,
  /* What the work returned; null is nothing. */
  result jsonb
)
-- next
create index once_keep_until on {schema}.once (keep_until)
-- next
/* Who this installation is, for the keys that messages show to services outside. A restored backup goes on as itself. */
create table {schema}.installation (
  only_one boolean primary key default true check (only_one),
  id text not null default right(replace(gen_random_uuid()::text, '-', ''), 16)
)
-- next
insert into {schema}.installation default values
-- next
/* Since when it is asked to stop; null again at its next start. */
alter table {schema}.worker add shutdown_at timestamptz
