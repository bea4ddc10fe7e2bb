import { createClient } from "@sluice/core"
import { postgresJsDriver } from "@sluice/postgres-js"
import postgres, { type TransactionSql } from "postgres"
import { openEvents } from "../events.ts"
import type { Orders } from "../orders.ts"
import { openQueues } from "../queues.ts"
import { sluiceSchema } from "../tables.ts"
import type { OpenShop } from "./open-shop.ts"

export function openPostgresJs(url: string, name: string): OpenShop<TransactionSql> {
  const sql = postgres(url)
  const sluice = createClient(postgresJsDriver(sql), { schema: sluiceSchema })
  return {
    orders,
    sluice,
    ...openQueues(sluice, name),
    events: openEvents(sluice, name),
    transaction: (work) => sql.begin(work),
    close: async () => {
      await sluice.close()
      await sql.end()
    },
  }
}

const orders: Orders<TransactionSql> = {
  async insertOrder(tx, { id, sku, quantity }) {
    await tx`insert into sluice_demo.orders ${tx({ id, sku, quantity })}`
  },
  async takeStock(tx, sku, quantity) {
    const { count } = await tx`
      update sluice_demo.products set stock = stock - ${quantity} where sku = ${sku} and stock >= ${quantity}`
    return count === 1
  },
  async insertPayment(tx, orderId) {
    await tx`insert into sluice_demo.payments (order_id) values (${orderId})`
  },
  async insertShipment(tx, orderId, delivery) {
    await tx`insert into sluice_demo.shipments (order_id, delivery) values (${orderId}, ${delivery})`
  },
  async insertReport(tx, shop) {
    await tx`insert into sluice_demo.reports select ${shop}, count(*) from sluice_demo.shipments where order_id like ${`${shop}-__`}`
  },
  async insertReservation(tx, { id, sku, quantity }) {
    await tx`insert into sluice_demo.reservations ${tx({ order_id: id, sku, quantity })}`
  },
  async payReservation(tx, orderId) {
    await tx`update sluice_demo.reservations set paid = true where order_id = ${orderId}`
  },
  async deleteReservation(tx, orderId) {
    await tx`delete from sluice_demo.reservations where order_id = ${orderId}`
  },
  async countStep(tx, orderId, status) {
    await tx`
      insert into sluice_demo.order_book values (${orderId}, ${status}, 1)
      on conflict (order_id) do update set status = excluded.status, steps = order_book.steps + 1`
  },
  async insertAuditEntry(tx, { eventId, type, orderId, data, attempt }) {
    await tx`insert into sluice_demo.audit_log ${tx({ event_id: eventId, type, order_id: orderId, data, delivery: attempt })}`
  },
}
