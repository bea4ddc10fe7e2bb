import pg from "pg"

/** Whoever takes a batch over gets none of its events: what a killed reader had is never read. */
export async function afterInstall(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const source = "select pg_get_functiondef(p.oid) as text from pg_proc p where p.proname = 'take_over'"
    const { rows } = await client.query<{ text: string }>(source)
    const whole = rows[0]?.text ?? ""
    const broken = whole.replace("    n.base := o.base;", "    continue;\n    n.base := o.base;")
    if (broken === whole) throw new Error(`There is no batch to forget in take_over:\n${whole}`)
    await client.query(broken)
  } finally {
    await client.end()
  }
}
