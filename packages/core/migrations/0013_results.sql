/* How long what became of a queue's messages is kept for who waits for it; null is not at all. */
alter table {schema}.queue add result_retention interval check (result_retention > interval '0' and isfinite(result_retention))
-- next
create table {schema}.result (
  id bigint primary key,
  queue int not null,
  outcome text not null check (outcome in ('done', 'dead', 'cancelled', 'expired')),
  value jsonb,
  error jsonb,
  at timestamptz not null,
  until timestamptz not null
)
-- next
create index result_until on {schema}.result (until)
-- next
create table {schema}.progress (
  id bigint primary key,
  value float8 not null,
  note text,
  at timestamptz not null
) with (fillfactor = 50)
