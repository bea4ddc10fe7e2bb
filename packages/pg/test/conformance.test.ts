import { inject } from "vitest"
import { describeDriver } from "@sluice/conformance/vitest"
import "@sluice/testkit/vitest"
import { makePg } from "../../../scripts/conformance/adapters/pg.ts"
import { quickGroups } from "../../../scripts/conformance/places.ts"

// Every other mode: `pnpm conformance pg`.
describeDriver("pg", makePg(), { url: inject("serverUrl"), groups: quickGroups })
