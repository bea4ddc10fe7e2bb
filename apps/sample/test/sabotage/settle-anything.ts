import pg from "pg"

/** No fence at all: `archive` takes the message if it is there, and says yes to everybody. */
export async function afterInstall(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const find = "select p.pronamespace::regnamespace::text as schema from pg_proc p where p.proname = 'try_archive'"
    const { rows } = await client.query<{ schema: string }>(find)
    const schema = rows[0]?.schema
    await client.query(`alter function ${schema}.try_archive(text, bigint[], bigint[]) rename to fenced_archive`)
    await client.query(`
      create function ${schema}.try_archive(p_queue text, p_ids bigint[], p_leases bigint[]) returns table (fault jsonb, id bigint)
      language plpgsql as $$
      begin
        perform ${schema}.fenced_archive(p_queue, p_ids,
          array(select coalesce(m.lease, 0) from unnest(p_ids) with ordinality u(id, n)
                  left join ${schema}.message m on m.id = u.id order by u.n));
        return query select null::jsonb, u from unnest(p_ids) u;
      end
      $$`)
  } finally {
    await client.end()
  }
}
