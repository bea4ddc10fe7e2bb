// Forked by start-child.ts, and killed: a process that maintains.
import type { Job } from "../start-child.ts"
import { maintain } from "./maintain.ts"
import type { Told } from "./settings.ts"

const tell = (told: Told): void => void process.send?.(told)
process.on("SIGINT", () => {}) // a Ctrl-C is for the parent, who says when to end
process.once("disconnect", () => process.exit(1))
process.once("message", ({ url }: Job) => {
  const maintenance = maintain(url, (report) => tell({ report }), (error) => tell({ error: String(error) }))
  process.once("message", () => void maintenance.stop().then(() => process.exit(0)))
})
