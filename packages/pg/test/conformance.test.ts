import { inject } from "vitest"
import { describeDriver } from "@sluice/conformance/vitest"
import "@sluice/testkit/vitest"
import { makePg } from "../../../scripts/conformance/adapters/pg.ts"

// Every other mode: `pnpm conformance pg`.
describeDriver("pg", makePg(), { url: inject("serverUrl") })
