import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { createDatabase, resolveServer } from "@sluice/testkit"
import { catalogueQuery, type CatalogueRow } from "../packages/core/src/admin/catalogue-query.ts"

/** What an installation of the schema consists of, read from a real one. */
export async function readCatalogue(): Promise<CatalogueRow[]> {
  const server = await resolveServer()
  const database = await createDatabase(server.url, "catalogue")
  const driver = pgDriver(database.url)
  try {
    await createClient(driver).admin.install()
    return await driver.query<CatalogueRow>(catalogueQuery, ["sluice"])
  } finally {
    await driver.close?.()
    await database.drop()
    await server.stop()
  }
}

/** The expected catalogue as a module, for `verify`. */
export function catalogueModule(rows: readonly CatalogueRow[]): string {
  const entries = rows.map((row) => `  { object: ${JSON.stringify(row.object)}, definition: ${JSON.stringify(row.definition)} },\n`)
  return `// Made by scripts/generate.ts from an installation of packages/core/migrations. Do not edit.

export const catalogue: readonly { readonly object: string; readonly definition: string }[] = [
${entries.join("")}]
`
}

/** The same for a reader: its diff shows what a migration changes. */
export function catalogueSql(rows: readonly CatalogueRow[]): string {
  const parts = rows.map(({ object, definition }) =>
    definition.includes("\n") ? `\n-- ${object}\n${definition}\n` : `-- ${object}: ${definition}`,
  )
  return `-- Made by scripts/generate.ts from an installation of packages/core/migrations. Do not edit; nobody runs it.\n\n${parts.join("\n")}\n`
}
