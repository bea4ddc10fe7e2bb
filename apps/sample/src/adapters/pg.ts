import { createClient } from "@sluice/core"
import { pgDriver } from "@sluice/pg"
import { Pool, type PoolClient } from "pg"
import { openEvents } from "../events.ts"
import type { Orders } from "../orders.ts"
import { openQueues } from "../queues.ts"
import { sluiceSchema } from "../tables.ts"
import type { OpenShop } from "./open-shop.ts"

export function openPg(url: string, name: string): OpenShop<PoolClient> {
  const pool = new Pool({ connectionString: url })
  pool.on("error", () => {}) // an idle connection that dies is replaced at the next use
  const sluice = createClient(pgDriver(pool), { schema: sluiceSchema })
  return {
    orders,
    sluice,
    ...openQueues(sluice, name),
    events: openEvents(sluice, name),
    transaction: sluice.transaction, // node-postgres has none of its own
    close: async () => {
      await sluice.close()
      await pool.end()
    },
  }
}

const orders: Orders<PoolClient> = {
  async insertOrder(tx, { id, sku, quantity }) {
    await tx.query("insert into sluice_demo.orders (id, sku, quantity) values ($1, $2, $3)", [id, sku, quantity])
  },
  async takeStock(tx, sku, quantity) {
    const text = "update sluice_demo.products set stock = stock - $2 where sku = $1 and stock >= $2"
    return (await tx.query(text, [sku, quantity])).rowCount === 1
  },
  async insertPayment(tx, orderId) {
    await tx.query("insert into sluice_demo.payments (order_id) values ($1)", [orderId])
  },
  async insertShipment(tx, orderId, delivery) {
    await tx.query("insert into sluice_demo.shipments (order_id, delivery) values ($1, $2)", [orderId, delivery])
  },
  async insertReport(tx, shop) {
    const text = "insert into sluice_demo.reports select $1, count(*) from sluice_demo.shipments where order_id like $1 || '-__'"
    await tx.query(text, [shop])
  },
  async insertReservation(tx, { id, sku, quantity }) {
    await tx.query("insert into sluice_demo.reservations (order_id, sku, quantity) values ($1, $2, $3)", [id, sku, quantity])
  },
  async payReservation(tx, orderId) {
    await tx.query("update sluice_demo.reservations set paid = true where order_id = $1", [orderId])
  },
  async deleteReservation(tx, orderId) {
    await tx.query("delete from sluice_demo.reservations where order_id = $1", [orderId])
  },
  async countStep(tx, orderId, status) {
    const text = "insert into sluice_demo.order_book values ($1, $2, 1) on conflict (order_id) do update set status = $2, steps = order_book.steps + 1"
    await tx.query(text, [orderId, status])
  },
  async insertAuditEntry(tx, { eventId, type, orderId, data, attempt }) {
    const text = "insert into sluice_demo.audit_log (event_id, type, order_id, data, delivery) values ($1, $2, $3, $4, $5)"
    await tx.query(text, [eventId, type, orderId, data, attempt])
  },
}
