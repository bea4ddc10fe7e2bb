// Started by subscriber-transaction-kill.test.ts, and killed: works off a subscription in transactions, and halts at a point, or nowhere.
import type { DriverName } from "./drivers.ts"
import { openEffects, type Point } from "./effects.ts"

const [driver = "", url = "", stream = "", halt = ""] = process.argv.slice(2)
let passed = 0
const { client, effect } = openEffects(driver as DriverName, url, 3, async (point: Point) => {
  // In a batch at the second event, with the first one handled.
  if (point !== halt || ++passed < (point === "handled" ? 2 : 1)) return
  console.log(JSON.stringify(point))
  await new Promise(() => {})
})
const subscriber = client.subscriber(stream, "s", (event, { tx }) => effect({ queue: stream, payload: event.data }, tx), { transactional: true, members: 2, maxEvents: 3, pollInterval: "20ms", maintenance: false })
subscriber.on("error", ({ error }) => console.error(error))
await subscriber.start()
console.log(JSON.stringify("at work"))
