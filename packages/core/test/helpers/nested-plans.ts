import pg from "pg"

export interface Scan {
  /** `message_0_pkey (queue, id)`: the index and what it is searched by; of a scan without an index, its kind and its table. */
  readonly by: string
  readonly condition: string
  readonly filter: string
}

export interface Explainer {
  readonly connection: pg.Client
  /** How the statements inside a call reach their tables; not those of the call itself. */
  scans(call: string): Promise<Scan[]>
  end(): Promise<void>
}

/** Why a server does not tell nested plans, or undefined: LOAD takes a superuser, and the module. */
export async function explainerMissing(url: string): Promise<string | undefined> {
  const connection = new pg.Client({ connectionString: url })
  await connection.connect()
  try {
    await connection.query("load 'auto_explain'")
    return undefined
  } catch (error) {
    return (error as Error).message
  } finally {
    await connection.end()
  }
}

/** A connection whose server tells, by auto_explain, the plan of every statement that a function runs. */
export async function openExplainer(url: string): Promise<Explainer> {
  const connection = new pg.Client({ connectionString: url })
  await connection.connect()
  await connection.query("load 'auto_explain'")
  const settings = { log_nested_statements: "on", log_level: "notice", log_format: "json", log_analyze: "off" }
  for (const [name, value] of Object.entries(settings)) await connection.query(`set auto_explain.${name} = '${value}'`)
  const plans: Plan[] = []
  connection.on("notice", ({ message = "" }) => {
    const [, json] = /^duration: .* plan:\n(.*)$/s.exec(message) ?? []
    if (json) plans.push(JSON.parse(json))
  })
  return {
    connection,
    scans: async (call) => {
      plans.splice(0)
      await connection.query("set auto_explain.log_min_duration = 0")
      await connection.query(call)
      await connection.query("set auto_explain.log_min_duration = -1")
      return plans.filter((plan) => !call.includes(plan["Query Text"]) && !plan["Query Text"].startsWith("set ")).flatMap(({ Plan }) => scansOf(Plan))
    },
    end: () => connection.end(),
  }
}

interface Plan {
  readonly "Query Text": string
  readonly Plan: Node
}

interface Node {
  readonly "Node Type": string
  readonly "Relation Name"?: string
  readonly "Index Name"?: string
  readonly "Index Cond"?: string
  readonly Filter?: string
  readonly Plans?: readonly Node[]
}

function scansOf(node: Node): Scan[] {
  const { "Node Type": type, "Relation Name": table, "Index Name": index, "Index Cond": condition = "", Filter: filter = "" } = node
  const below = (node.Plans ?? []).flatMap(scansOf)
  if (!type.endsWith("Scan") || (table === undefined && index === undefined)) return below
  const columns = [...condition.matchAll(/\(\(?(\w+) (?:=|<|>|<=|>=) /g)].map(([, column]) => column)
  const by = /^Index (Only )?Scan$/.test(type) ? `${index} (${[...new Set(columns)].join(", ")})` : `${type} of ${index ?? table}`
  return [{ by, condition, filter }, ...below]
}
