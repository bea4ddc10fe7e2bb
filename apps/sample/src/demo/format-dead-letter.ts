import type { DeadMessage } from "@sluice/core"
import { formatTable } from "./format-table.ts"

/** The history of a message as it lay dead. */
export function formatDeadLetter({ errors }: DeadMessage): string {
  const first = Date.parse(errors[0]?.at ?? "")
  const rows = errors.map(({ attempt, at, message, worker }) => [attempt, `${((Date.parse(at) - first) / 1000).toFixed(1)} s`, message, worker ?? ""])
  return formatTable(["attempt", "after", "error", "worker"], rows, ["right", "right", "left", "left"])
}
