// One line of the table, in a process of its own: what it does to its process, and how that ends, is its own affair.
import { groups, runConformance, type ConformanceReport } from "@sluice/conformance"
import { adapters } from "./adapters.ts"
import { hops, type Task, type Told } from "./combination.ts"
import { runHopsOfAll } from "./hops.ts"

// Nobody waits for the rest.
process.once("disconnect", () => process.exit())
process.once("message", (task: Task) => void run(task))

async function run(task: Task): Promise<void> {
  try {
    const report = task.adapter === hops.adapter ? await runHopsOfAll(task.url, (one) => tell({ one })) : await certify(task)
    tell({ report }, () => process.disconnect())
  } catch (error) {
    tell({ broken: error instanceof Error ? (error.stack ?? error.message) : String(error) }, () => process.disconnect())
  }
}

function certify({ adapter, mode, url, groups: asked }: Task): Promise<ConformanceReport> {
  const found = adapters.find(({ name }) => name === adapter)?.modes.find(({ name }) => name === mode)
  if (!found) throw new Error(`There is no mode ${mode} of ${adapter}.`)
  found.before?.()
  const wanted = groups.map(({ name }) => name).filter((name) => asked.includes(name))
  const { queueOptions } = found
  return runConformance(found.make, { mode, url: url || undefined, groups: wanted, queueOptions, onCase: (one) => tell({ one }) })
}

function tell(told: Told, sent: () => void = () => {}): void {
  process.send?.(told, sent)
}
