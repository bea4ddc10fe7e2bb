// Started by worker-transaction-kill.test.ts, and killed: works off a queue in transactions, and halts at a point, or nowhere.
import type { DriverName } from "./drivers.ts"
import { openEffects, type Point } from "./effects.ts"

const [driver = "", url = "", queue = "", halt = "", batch = "1"] = process.argv.slice(2)
let passed = 0
const { client, effect } = openEffects(driver as DriverName, url, 3, async (point: Point) => {
  // In a batch at the second message, with the first one settled.
  if (point !== halt || ++passed < (["handled", "settled"].includes(point) ? Number(batch) : 1)) return
  console.log(JSON.stringify(point))
  await new Promise(() => {})
})
const worker = await client.queue(queue).work((message, { tx }) => effect(message, tx), { transactional: true, batch: Number(batch), concurrency: 2, maintenance: false })
worker.on("error", ({ error }) => console.error(error))
console.log(JSON.stringify("at work"))
