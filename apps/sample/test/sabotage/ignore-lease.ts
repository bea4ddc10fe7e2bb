import pg from "pg"

/** The smallest break of the fence: `archive` matches the id alone, so that an overtaken holder settles what another holds. */
export async function afterInstall(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const source = "select pg_get_functiondef(p.oid) as text from pg_proc p where p.proname = 'try_archive'"
    const { rows } = await client.query<{ text: string }>(source)
    const whole = rows[0]?.text ?? ""
    const broken = whole.replace(/ and m\.lease = p_leases\[[^\]]*\]/, "")
    if (broken === whole) throw new Error(`There is no lease to ignore in try_archive:\n${whole}`)
    await client.query(broken)
  } finally {
    await client.end()
  }
}
