import { execFile } from "node:child_process"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { databasePerFile } from "@sluice/testkit/vitest"
import { Client } from "pg"
import { afterAll, beforeAll, expect, test } from "vitest"
import { extractSnippets, unnamedSnippets } from "./extract-snippets.ts"
import { epilogues, preludes } from "./readme-preludes.ts"

const run = promisify(execFile)
const root = join(import.meta.dirname, "../..")
const folder = join(import.meta.dirname, "snippets")
const readme = readFileSync(join(root, "README.md"), "utf8")
const guides = ["operations", "workers", "streams", "schedules", "once"].map((page) => readFileSync(join(root, `docs/${page}.md`), "utf8"))
const snippets = [readme, ...guides].flatMap(extractSnippets)
const database = await databasePerFile()
const sluice = createClient(pgDriver(database.url))

beforeAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  for (const { name, code } of snippets) {
    // A module of its own: what it stands on first, as a reader would have it.
    writeFileSync(join(folder, `${name}.ts`), `${preludes[name] ?? ""}${code}${epilogues[name] ?? ""}${name in preludes ? "\nprocess.exit(0)\n" : ""}`)
  }
  const client = new Client(database.url)
  await client.connect()
  await client.query("create table users (id int generated always as identity primary key, email text not null)")
  await client.end()
  await sluice.admin.install()
  for (const queue of ["emails", "reports", "page-clicks"]) await sluice.admin.createQueue(queue)
})

afterAll(() => sluice.close())

test("every block of TypeScript in the README and in the guides is named, so that it is compiled and run", () => {
  for (const page of [readme, ...guides]) expect(unnamedSnippets(page)).toBe(0)
  expect(snippets.map(({ name }) => name)).toEqual(Object.keys(preludes))
})

test("the README shows code for three adapters before line 60", () => {
  const first = readme.split("\n").slice(0, 60).join("\n")
  for (const adapter of ["@sluice/pg", "@sluice/postgres-js", "@sluice/drizzle"]) expect(first).toContain(adapter)
})

test("they compile", async () => {
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../../../tsconfig.test.json", include: ["*.ts"] }))
  const { stdout } = await run(join(root, "node_modules/.bin/tsc"), ["-p", folder]).catch((error: { stdout: string }) => error)
  expect(stdout).toBe("")
})

const ofGuides = ["stream", "maintenance", ...guides.flatMap(extractSnippets).map(({ name }) => name)]

test.each(ofGuides)("the %s block runs", async (name) => {
  await run(process.execPath, [join(folder, `${name}.ts`)], { env: { ...process.env, DATABASE_URL: database.url } })
})

test.each(snippets.map(({ name }) => name).filter((name) => !/^(worker|consume|settle)/.test(name) && !ofGuides.includes(name)))(
  "the README's %s block runs and commits a user with a message",
  async (name) => {
    const before = await sluice.admin.metrics("emails")
    await run(process.execPath, [join(folder, `${name}.ts`)], { env: { ...process.env, DATABASE_URL: database.url } })
    expect((await sluice.admin.metrics("emails")).length).toBe(before.length + 1)
  },
)

test.each(["consume", "settle-in-transaction"])("the README's %s block settles what was sent", async (name) => {
  const before = await sluice.admin.metrics("emails")
  await run(process.execPath, [join(folder, `${name}.ts`)], { env: { ...process.env, DATABASE_URL: database.url } })
  expect((await sluice.admin.metrics("emails")).length).toBe(before.length - 1)
})

test("the README's worker block has a worker settle what was sent", async () => {
  await sluice.queue("emails").send({ userId: 1 })
  await run(process.execPath, [join(folder, "worker.ts")], { env: { ...process.env, DATABASE_URL: database.url } })
  expect((await sluice.admin.metrics("emails")).length).toBe(0)
})
