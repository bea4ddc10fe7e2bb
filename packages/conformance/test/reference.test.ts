import { describeDriver } from "../src/vitest.ts"
import { referenceDriver, referenceSetup, savepointOf } from "./reference-driver.ts"
import { serverUrl } from "./server-url.ts"

describeDriver("the reference driver", referenceSetup, { url: serverUrl })
describeDriver("the reference driver", (setup) => referenceSetup({ ...setup, max: 1 }), {
  url: serverUrl,
  mode: "pool of one",
})

describeDriver(
  "the reference driver",
  (setup) =>
    referenceSetup(setup, (pool) => {
      const driver = referenceDriver(pool)
      return { ...driver, savepoint: savepointOf(driver) }
    }),
  { url: serverUrl, mode: "savepoint", groups: ["transaction", "budget"] },
)
