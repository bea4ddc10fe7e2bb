import type { Handler } from "@sluice/core"
import type { Shop } from "./orders.ts"

/** Adds up what a shop has shipped. Transactional too: a report that is written is not written again. */
export function reportSales<Tx>(shop: Shop<Tx>): Handler<Tx> {
  return shop.reports.handler(({ payload }, { tx }) => shop.orders.insertReport(tx, payload.shop), { transactional: true })
}
