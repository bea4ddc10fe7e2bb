import Table from "cli-table3"

export function formatTable(head: string[], rows: readonly (string | number)[][], colAligns: ("left" | "right")[]): string {
  const table = new Table({ head, colAligns, style: { head: [], border: [] } })
  table.push(...rows)
  // The library rules between all rows or none: only the rule under the head stays.
  return table.toString().split("\n").filter((line, i) => i === 2 || !line.startsWith("├")).join("\n")
}
