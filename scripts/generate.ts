// pnpm generate: writes what is derived from other files. With --check it writes nothing and fails on a difference.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { generateMigrations } from "./generate-migrations.ts"

const root = join(import.meta.dirname, "..")
const migrations = join(root, "packages/core/migrations")

/** Every generated file with the content it should have. */
function generate(): Map<string, string> {
  const files = new Map<string, string>()
  if (existsSync(migrations)) {
    const sources = readdirSync(migrations)
      .filter((name) => name.endsWith(".sql"))
      .map((name) => ({ name, text: readFileSync(join(migrations, name), "utf8") }))
    files.set(join(root, "packages/core/src/generated/migrations.ts"), generateMigrations(sources))
  }
  return files
}

const checking = process.argv.includes("--check")
for (const [path, content] of generate()) {
  const current = existsSync(path) ? readFileSync(path, "utf8") : undefined
  if (current === content) continue
  const name = relative(root, path)
  if (checking) {
    console.error(`${name} is out of date: run pnpm generate.`)
    process.exitCode = 1
  } else {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
    console.log(`wrote ${name}`)
  }
}
