import { Client } from "pg"

/** A connection of the bench's own. */
export async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url })
  client.on("error", () => {}) // the statement that meets it rejects
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Fresh statistics and no dead rows: nobody owes his numbers to when autovacuum came by. */
export async function vacuum(url: string): Promise<void> {
  await withClient(url, async (client) => {
    const { rows } = await client.query<{ tables: string }>(
      `select string_agg(oid::regclass::text, ', ') as tables from pg_class
        where relkind = 'r' and relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)`,
    )
    await client.query(`vacuum (analyze) ${rows[0]!.tables}`)
  })
}
