import { chownSync, mkdtempSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"

/** Postgres and PgBouncer refuse to run as root: a root process starts them as `nobody`, who exists on every Linux. */
export const serviceUser: { uid: number; gid: number } | undefined =
  process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : undefined

/** Whether the service user can reach `path`: every folder above it lets others through. */
export function isReachable(path: string): boolean {
  if (!serviceUser) return true
  for (let folder = path; ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false
    if (folder === dirname(folder)) return true
  }
}

/** The temp folder, or `/tmp` where root's own TMPDIR is closed to the service user. */
export function temporaryRoot(): string {
  return isReachable(tmpdir()) ? tmpdir() : "/tmp"
}

/** A new private folder that belongs to the service user. */
export function makeServiceFolder(prefix: string): string {
  const folder = mkdtempSync(join(temporaryRoot(), prefix))
  if (serviceUser) chownSync(folder, serviceUser.uid, serviceUser.gid)
  return folder
}
