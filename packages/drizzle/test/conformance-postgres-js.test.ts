import { inject } from "vitest"
import { describeDriver } from "@sluice/conformance/vitest"
import "@sluice/testkit/vitest"
import { makeDrizzlePostgresJs } from "../../../scripts/conformance/adapters/drizzle-postgres-js.ts"
import { quickGroups } from "../../../scripts/conformance/places.ts"

// Every other mode, and the next major of Drizzle: `pnpm conformance drizzle/postgres-js "drizzle 1.0/postgres-js"`.
describeDriver("drizzle/postgres-js", makeDrizzlePostgresJs(), { url: inject("serverUrl"), groups: quickGroups })
