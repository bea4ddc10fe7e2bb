// pnpm generate: writes what is derived from other files. With --check it writes nothing and fails on a difference.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { generateMigrations, type SqlSource } from "./generate-migrations.ts"

const root = join(import.meta.dirname, "..")

function sqlFiles(folder: string): SqlSource[] {
  const path = join(root, "packages/core", folder)
  return readdirSync(path).map((name) => ({ name, text: readFileSync(join(path, name), "utf8") }))
}

/** The module of migrations first: the catalogue is read from an installation of it. */
function migrationFiles(): Map<string, string> {
  const module = generateMigrations(sqlFiles("migrations"), sqlFiles("functions"))
  return new Map([[join(root, "packages/core/src/generated/migrations.ts"), module]])
}

async function catalogueFiles(): Promise<Map<string, string>> {
  // Not before the migrations are written, which core imports.
  const { catalogueModule, catalogueSql, readCatalogue } = await import("./generate-catalogue.ts")
  const rows = await readCatalogue()
  return new Map([
    [join(root, "packages/core/src/generated/catalogue.ts"), catalogueModule(rows)],
    [join(root, "packages/core/schema.sql"), catalogueSql(rows)],
  ])
}

function write(files: Map<string, string>): void {
  for (const [path, content] of files) {
    const current = existsSync(path) ? readFileSync(path, "utf8") : undefined
    if (current === content) continue
    const name = relative(root, path)
    if (process.argv.includes("--check")) {
      console.error(`${name} is out of date: run pnpm generate.`)
      process.exitCode = 1
    } else {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, content)
      console.log(`wrote ${name}`)
    }
  }
}

write(migrationFiles())
write(await catalogueFiles())
