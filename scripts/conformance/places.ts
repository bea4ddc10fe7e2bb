import { type DriverUnderTest, type GroupName, groups as kit, type Isolation } from "@sluice/conformance"
import type { Mode } from "./adapter.ts"

/** What PgBouncer in transaction mode takes away from any client. */
export const behindPooler: NonNullable<DriverUnderTest["capabilities"]> = {
  direct: "PgBouncer shares server processes between clients",
  listen: "PgBouncer in transaction mode swallows LISTEN: core polls",
}

/** Of a session that begins every transaction so, single statements included. */
export const defaultIsolation: readonly Isolation[] = ["repeatable read", "serializable"]

/** The groups that need nothing but a driver. */
export const driverGroups: readonly GroupName[] = ["wire", "errors", "transaction", "listen", "isolation", "lifecycle", "budget"]

/** They take a minute each, and ask of a mode what the other groups of core ask: the modes that differ most run them, and the others with --full. */
export const slowGroups: readonly GroupName[] = ["worker", "transactional worker", "worker budget", "subscriber", "transactional subscriber"]
/** What is left without them, for tests beside `pnpm conformance`, which runs all groups. */
export const quickGroups: readonly GroupName[] = kit.map(({ name }) => name).filter((name) => !slowGroups.includes(name))
export const slowModes: readonly string[] = ["plain", "PgBouncer", "pool of one"]

/** What such a session can be asked for. */
export function strictOnly(level: Isolation): NonNullable<Mode["only"]> {
  const groups: GroupName[] = [...driverGroups, "queue", "worker", "subscriber"]
  return {
    // Of serializable ones that meet, some fail with 40001, and are tried again: no case could say which.
    groups: level === "serializable" ? groups : [...groups, "stream", "transactional worker", "transactional subscriber"],
    because: "their own transactions read, which needs READ COMMITTED; `joined` tries single transactions of these levels in other modes",
  }
}

/** The groups that go through core; for where queues are stored, which is nothing to a driver. */
const coreOnly: NonNullable<Mode["only"]> = {
  groups: ["queue", "fencing", "core errors", "joined", "concurrency", "schedules", "queue budget", "worker", "transactional worker", "worker budget"],
  because: "a driver knows nothing of where queues are stored",
}

/** Every storage that is not the shared one: same cases, same fencing, same costs. */
export function storageModes(make: Mode["make"]): Mode[] {
  const mode = (name: string, queueOptions: Mode["queueOptions"], brief: Mode["brief"] = false): Mode => ({ name, make, queueOptions, brief, only: coreOnly })
  return [
    mode("dedicated storage", { storage: "dedicated" }),
    mode("unlogged storage", { storage: "unlogged" }, true),
    mode("partitions by id", { partition: { by: "id", interval: 10, retention: 100 } }, true),
    mode("partitions by time", { partition: { by: "time", interval: "1h", retention: "1d", archive: true } }, ["fencing", "joined", "concurrency"]),
  ]
}

/** For another version of a library: the first one runs everything. */
export function briefly(modes: readonly Mode[]): Mode[] {
  return modes.map((mode) => ({ ...mode, brief: mode.name !== "plain" }))
}
