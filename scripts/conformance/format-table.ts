/** Columns padded to their widest cell. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string => cells.map((text, i) => text.padEnd(widths[i] ?? 0)).join(" │ ").trimEnd()
  return [line(head), widths.map((width) => "─".repeat(width)).join("─┼─"), ...rows.map(line)].join("\n")
}
