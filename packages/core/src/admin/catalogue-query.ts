export interface CatalogueRow {
  /** `column message.vt`, `index message_claim`, `function try_send(p_queue text, …)` */
  readonly object: string
  readonly definition: string
}

/**
 * Every object of the schema in `$1` and how it is made, the schema's own name taken out: the one reader behind `verify`,
 * `schema.sql` and the expected catalogue. Equal on Postgres 15 to 18: NOT NULL is read from the column, since 18 alone
 * has constraints for it. Left out: the counters `sent_<id>`, one for each queue, what belongs to dedicated storages
 * and streams (`…_s<id>`), daily partitions of the archive (`archive_p<day>`), and what a partition inherits. Sources
 * of functions stay as they are: an alias in them may be called what the schema is.
 */
export const catalogueQuery = `
with space as (select oid, nspname, '(?<![\\w"])' || quote_ident(nspname) || '\\.' as qualified from pg_namespace where nspname = $1::text),
objects (object, definition) as (
  select 'table ' || c.relname,
         concat_ws(' ', case c.relkind when 'p' then pg_get_partkeydef(c.oid) end, pg_get_expr(c.relpartbound, c.oid),
                   case when c.relpersistence = 'u' then 'unlogged' end, case when c.relrowsecurity then 'row security' end,
                   array_to_string(c.reloptions, ', '))
    from pg_class c, space where c.relnamespace = space.oid and c.relkind in ('r', 'p')
  union all
  select 'column ' || c.relname || '.' || a.attname,
         concat_ws(' ', format_type(a.atttypid, a.atttypmod), case when a.attnotnull then 'not null' end,
                   case a.attidentity when 'a' then 'generated always as identity' end, 'default ' || pg_get_expr(d.adbin, d.adrelid),
                   case when a.attcollation <> t.typcollation then 'collate ' || l.collname end)
    from pg_class c join space on c.relnamespace = space.oid
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_type t on t.oid = a.atttypid
    left join pg_collation l on l.oid = a.attcollation
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
   where c.relkind in ('r', 'p', 'c') and not c.relispartition
  union all
  select 'index ' || c.relname, concat_ws(' ', pg_get_indexdef(c.oid), case when not i.indisvalid then 'invalid' end)
    from pg_class c join space on c.relnamespace = space.oid join pg_index i on i.indexrelid = c.oid
   where c.relkind in ('i', 'I') and not c.relispartition
  union all
  select 'trigger ' || c.relname || '.' || t.tgname, pg_get_triggerdef(t.oid)
    from pg_trigger t join pg_class c on c.oid = t.tgrelid join space on c.relnamespace = space.oid
   where not t.tgisinternal and t.tgparentid = 0
  union all
  select 'sequence ' || c.relname, format('start %s increment %s cache %s', s.seqstart, s.seqincrement, s.seqcache)
    from pg_class c join space on c.relnamespace = space.oid join pg_sequence s on s.seqrelid = c.oid
   where c.relname !~ '^(sent|turn)_[0-9]+$'
  union all
  select 'constraint ' || c.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
    from pg_constraint k join space on k.connamespace = space.oid join pg_class c on c.oid = k.conrelid where k.contype <> 'n' and not c.relispartition
  union all
  select 'function ' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
         concat_ws(' ', 'returns', pg_get_function_result(p.oid), 'language', l.lanname,
                   case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
                   case when p.prosecdef then 'security definer' end,
                   nullif(replace(array_to_string(p.proconfig, ', '), 'search_path=' || quote_ident(space.nspname), 'search_path=<schema>'), ''),
                   nullif('defaults ' || pg_get_expr(p.proargdefaults, 0), 'defaults '), E'as\\n' || p.prosrc)
    from pg_proc p join space on p.pronamespace = space.oid join pg_language l on l.oid = p.prolang
)
select case when object like 'function %' then regexp_replace(object, space.qualified, '', 'g') else object end as object,
       regexp_replace(left(definition, source - 1), space.qualified, '', 'g') || substr(definition, source) as definition
  from (select * from objects
         where object !~ '^(table|column|index|sequence|constraint) (message|message_id|archive|event)_[sp][0-9]+' and object !~ '^function [a-z_]+_s[0-9]+\\(') objects, space, lateral (select strpos(definition || E' as\\n', E' as\\n') as source) s order by object collate "C"`
