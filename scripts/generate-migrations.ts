import { expandLeaves } from "./expand-leaves.ts"

export interface SqlSource {
  /** `0001_tables.sql` */
  readonly name: string
  readonly text: string
}

const header = `// Made by scripts/generate.ts from packages/core/migrations and packages/core/functions. Do not edit.

export interface Migration {
  readonly version: number
  readonly name: string
  /** Code older than this migration must not run on the schema. */
  readonly breaking: boolean
  readonly statements: readonly string[]
}

`

/**
 * The module that holds the migrations, and the functions of the newest version. Statements are separated by a line
 * `-- next`; a first line `-- breaking` marks the migration. Two of one number would be two branches that did not know
 * of each other.
 */
export function generateMigrations(migrations: readonly SqlSource[], functions: readonly SqlSource[]): string {
  const entries = inOrder(migrations).map((source, i, all) => toEntry(source, all[i - 1]?.name))
  const statements = inOrder(functions).flatMap(({ name, text }) => split(name, expandLeaves(text)))
  return `${header}export const migrations: readonly Migration[] = [\n${entries.join("")}]

/** Run after the last migration: functions hold no data, so each version brings them whole. */
export const functions: readonly string[] = [
${statements.map((statement) => `  ${toTemplate(statement)},\n`).join("")}]
`
}

const inOrder = (sources: readonly SqlSource[]): SqlSource[] => [...sources].sort((a, b) => (a.name < b.name ? -1 : 1))

function split(file: string, text: string): string[] {
  const statements = text.split(/^-- next[ \t]*\r?$/m).map((statement) => statement.trim())
  if (statements.some((statement) => statement === "")) throw new Error(`${file}: an empty statement.`)
  return statements
}

function toEntry({ name: file, text }: SqlSource, before: string | undefined): string {
  const [, number, name] = /^(\d{4})_([a-z0-9_]+)\.sql$/.exec(file) ?? []
  if (!number || !name) throw new Error(`${file}: a migration is called NNNN_name.sql.`)
  if (before?.startsWith(number)) throw new Error(`${file}: ${before} has this number too.`)
  const breaking = /^-- breaking[ \t]*\r?\n/.test(text)
  const body = breaking ? text.slice(text.indexOf("\n") + 1) : text
  const list = split(file, body).map((statement) => `      ${toTemplate(statement)},\n`).join("")
  return `  {
    version: ${Number(number)},
    name: ${JSON.stringify(name)},
    breaking: ${breaking},
    statements: [
${list}    ],
  },
`
}

// A template literal keeps line breaks, so that a change of SQL is a readable change here.
function toTemplate(statement: string): string {
  return `\`${statement.replace(/\\|`|\$\{/g, "\\$&")}\``
}
