import type { Outcome } from "./combination.ts"

export interface Progress {
  begin(label: string): void
  /** A case of that line ended. */
  step(label: string): void
  end(outcome: Outcome): void
}

/** One line that moves on a terminal, one line for each that is done elsewhere. */
export function showProgress(total: number): Progress {
  const { stdout } = process
  const running = new Map<string, number>()
  let done = 0
  const clear = (): void => void (stdout.isTTY && stdout.write("\r\x1b[2K"))
  const draw = (): void => {
    if (!stdout.isTTY) return
    const text = `[${done}/${total}] ${[...running].map(([label, cases]) => `${label} · ${cases}`).join("   ")}`
    stdout.write(`\r\x1b[2K${text.slice(0, (stdout.columns || 80) - 1)}`)
  }
  return {
    begin: (label) => {
      running.set(label, 0)
      draw()
    },
    step: (label) => {
      running.set(label, (running.get(label) ?? 0) + 1)
      draw()
    },
    end: ({ adapter, mode, ms, report, skipped }) => {
      running.delete(`${adapter}, ${mode}`)
      done++
      clear()
      const failed = report?.failed ?? 0
      const count = report ? `${report.passed} passed${failed > 0 ? `, ${failed} FAILED` : ""}` : skipped === undefined ? "left to --full" : `skipped: ${skipped}`
      const place = `[${String(done).padStart(String(total).length)}/${total}]`
      console.log(`${place} ${failed > 0 ? "✗" : report ? "✓" : "–"} ${adapter}, ${mode}: ${count} in ${(ms / 1000).toFixed(1)} s`)
      // At once: the whole table comes at the end.
      for (const one of report?.cases.filter(({ status }) => status === "failed") ?? []) console.log(`    ${one.group}: ${one.name}: ${one.error?.split("\n")[0] ?? ""}`)
      draw()
    },
  }
}
