import { inject } from "vitest"
import { describeDriver } from "@sluice/conformance/vitest"
import "@sluice/testkit/vitest"
import { makeDrizzlePg } from "../../../scripts/conformance/adapters/drizzle-pg.ts"
import { quickGroups } from "../../../scripts/conformance/places.ts"

// Every other mode, and the next major of Drizzle: `pnpm conformance drizzle/pg "drizzle 1.0/pg"`.
describeDriver("drizzle/pg", makeDrizzlePg(), { url: inject("serverUrl"), groups: quickGroups })
