import { describeDriver } from "@sluice/conformance/vitest"
import { makePglite } from "../../../scripts/conformance/adapters/pglite.ts"
import { quickGroups } from "../../../scripts/conformance/places.ts"

// With type parsers of one's own: `pnpm conformance pglite`.
describeDriver("pglite", makePglite(), { groups: quickGroups })
