import { migrations } from "../generated/migrations.ts"

/** The version of the schema that this version of Sluice works with. */
export const latestVersion: number = migrations.at(-1)?.version ?? 0
