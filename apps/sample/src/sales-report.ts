import type { Handler } from "@sluice/core"
import type { Shop } from "./orders.ts"

/** Asks for a report every night, by the shop's own clock. Harmless at every start of every process; any worker sends what is due. */
export async function scheduleReports<Tx>({ sluice, reports }: Shop<Tx>, shop: string): Promise<string> {
  const { name } = await sluice.schedules.upsert(`${reports.name}.nightly`, {
    queue: reports.name,
    cron: "0 3 * * *",
    timezone: "Europe/Berlin",
    payload: { shop },
    missed: "once", // a report is due though nobody was up at three
  })
  return name
}

/** Adds up what a shop has shipped. Transactional too: a report that is written is not written again. */
export function reportSales<Tx>(shop: Shop<Tx>): Handler<Tx> {
  return shop.reports.handler(({ payload }, { tx }) => shop.orders.insertReport(tx, payload.shop), { transactional: true })
}
