// Packs every published package as a release would and asks publint and are-the-types-wrong about the tarball.
import { globSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { runCommand } from "./run-steps.ts"

async function checkPackage(folder: string): Promise<string> {
  const target = mkdtempSync(join(tmpdir(), "sluice-pack-"))
  try {
    const packed = await runCommand(["pnpm", "pack", "--pack-destination", target], folder)
    if (!packed.ok) return packed.output
    const tarball = join(target, readdirSync(target).find((name) => name.endsWith(".tgz"))!)
    const listing = await runCommand(["tar", "-tzf", tarball])
    const stray = listing.output.split("\n").filter((path) => /\.tsbuildinfo$|\/(src|test)\//.test(path))
    const strayProblem = stray.length > 0 ? `packed, but should not be: ${stray.join(", ")}\n` : ""
    const publint = await runCommand(["publint", "run", tarball, "--strict"])
    const attw = await runCommand(["attw", tarball, "--profile", "esm-only", "--no-emoji", "--no-color", "-f", "ascii"])
    return strayProblem + [publint, attw].map(({ ok, output }) => (ok ? "" : output)).join("")
  } finally {
    rmSync(target, { recursive: true, force: true })
  }
}

const manifests = globSync("packages/*/package.json").sort()
const published = manifests.filter((path) => !JSON.parse(readFileSync(path, "utf8")).private).map(dirname)
const lane = async (): Promise<void> => {
  for (let folder = published.shift(); folder; folder = published.shift()) {
    const problems = await checkPackage(folder)
    if (!problems) continue
    console.error(`${folder}\n${problems}`)
    process.exitCode = 1
  }
}
await Promise.all([lane(), lane()])
