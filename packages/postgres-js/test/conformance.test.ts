import { inject } from "vitest"
import { describeDriver } from "@sluice/conformance/vitest"
import "@sluice/testkit/vitest"
import { makePostgresJs } from "../../../scripts/conformance/adapters/postgres-js.ts"
import { quickGroups } from "../../../scripts/conformance/places.ts"

// Every other mode: `pnpm conformance postgres-js`.
describeDriver("postgres-js", makePostgresJs(), { url: inject("serverUrl"), groups: quickGroups })
