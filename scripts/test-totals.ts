// node scripts/test-totals.ts [FOLDER]…: prints the closing line of CI from vitest's reports.
import { sumReports } from "./sum-reports.ts"

const folders = process.argv.slice(2)
const { passed, failed, skipped, missing } = sumReports(folders.length > 0 ? folders : ["."])
for (const folder of missing) console.error(`no report: ${folder}`)
console.log(`Tests: ${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ""}`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
