// Started by flip-kill.test.ts, and killed: takes so many steps of a flip, says what each did, and hangs. "inside": the last
// step is in a transaction that stays open.
import { type FlipStep, flipStep } from "./flip.ts"
import { openPool } from "./harness.ts"

const [url = "", steps = "", where = ""] = process.argv.slice(2)
const tx = await openPool(url, 1).connect()
let after: string | null = null
for (let i = 1; i <= Number(steps); i++) {
  if (i === Number(steps) && where === "inside") await tx.query("begin")
  const step: FlipStep = await flipStep(tx, after)
  after = step.after ?? null
  console.log(JSON.stringify(step.did))
}
setInterval(() => {}, 1000)
