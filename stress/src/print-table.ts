import { styleText } from "node:util"
import { failed, type Outcome } from "./stress.ts"

/** The counts of a stress, what must be zero below. */
export function printTable(title: string, outcome: Outcome): void {
  const { counts, violations, errors } = outcome
  const width = Math.max(...Object.keys({ ...counts, ...violations }).map(({ length }) => length))
  const line = (name: string, count: number): string => `  ${name.padEnd(width)} ${String(count).padStart(9)}`
  console.log(`\n${title}`)
  for (const [name, count] of Object.entries(counts)) console.log(line(name, count))
  console.log(`  ${"-".repeat(width + 10)}`)
  for (const [name, count] of Object.entries(violations)) console.log(count > 0 ? styleText("red", line(name, count)) : line(name, count))
  for (const error of errors) console.log(styleText("red", `  ${error}`))
  console.log(failed(outcome) ? styleText("red", "  failed") : styleText("green", "  passed"))
}
