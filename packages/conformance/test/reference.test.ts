import { describeDriver } from "../src/vitest.ts"
import { referenceSetup } from "./reference-driver.ts"
import { serverUrl } from "./server-url.ts"

describeDriver("the reference driver", referenceSetup, { url: serverUrl })
describeDriver("the reference driver", (setup) => referenceSetup({ ...setup, max: 1 }), { url: serverUrl, mode: "pool of one" })
