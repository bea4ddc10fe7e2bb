create type {schema}.delivery as (
  id bigint, priority int, attempt int, lease bigint, enqueued_at timestamptz, visible_at timestamptz, headers jsonb, payload jsonb
)
