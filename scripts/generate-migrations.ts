export interface MigrationSource {
  /** `0001_tables.sql` */
  readonly name: string
  readonly text: string
}

const header = `// Made by scripts/generate.ts from packages/core/migrations. Do not edit.

export interface Migration {
  readonly version: number
  readonly name: string
  /** Code older than this migration must not run on the schema. */
  readonly breaking: boolean
  readonly statements: readonly string[]
}

`

/**
 * The module that holds the migrations. Statements are separated by a line `-- next`; a first line `-- breaking` marks
 * the migration. Numbers run from 0001 without gaps, so that two branches cannot both add the same one unnoticed.
 */
export function generateMigrations(sources: readonly MigrationSource[]): string {
  const inOrder = [...sources].sort((a, b) => (a.name < b.name ? -1 : 1))
  const entries = inOrder.map((source, index) => toEntry(source, index + 1))
  return `${header}export const migrations: readonly Migration[] = [\n${entries.join("")}]\n`
}

function toEntry({ name: file, text }: MigrationSource, expected: number): string {
  const [, number, name] = /^(\d{4})_([a-z0-9_]+)\.sql$/.exec(file) ?? []
  if (!number || !name) throw new Error(`${file}: a migration is called NNNN_name.sql.`)
  if (Number(number) !== expected) throw new Error(`${file}: expected number ${String(expected).padStart(4, "0")}.`)
  const breaking = /^-- breaking[ \t]*\r?\n/.test(text)
  const body = breaking ? text.slice(text.indexOf("\n") + 1) : text
  const statements = body.split(/^-- next[ \t]*\r?$/m).map((statement) => statement.trim())
  if (statements.some((statement) => statement === "")) throw new Error(`${file}: an empty statement.`)
  const list = statements.map((statement) => `      ${toTemplate(statement)},\n`).join("")
  return `  {
    version: ${expected},
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
