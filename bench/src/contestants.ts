import type { Contestant } from "./contestant.ts"
import { raw } from "./contestants/raw.ts"
import { sluiceDrizzle } from "./contestants/sluice-drizzle.ts"
import { sluicePg } from "./contestants/sluice-pg.ts"
import { sluicePostgresJs } from "./contestants/sluice-postgres-js.ts"

/** Whom the others are measured against. */
export const baseline: string = raw.name

export const contestants: readonly Contestant[] = [raw, sluicePg, sluicePostgresJs, sluiceDrizzle]
