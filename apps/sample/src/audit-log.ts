import type { Subscriber } from "@sluice/core"
import { subscriptions } from "./events.ts"
import type { Shop } from "./orders.ts"

/** Writes down every event, captured ones too. Order does not matter to it: two members handle batches at the same time. */
export function keepAuditLog<Tx>({ sluice, events, orders }: Shop<Tx>): Subscriber {
  return sluice.subscriber(
    events,
    subscriptions.auditLog,
    ({ id, type, key, data, attempt }, { tx }) => orders.insertAuditEntry(tx, { eventId: id, type, orderId: key ?? "", data: JSON.stringify(data), attempt }),
    { members: 2, transactional: true, maintenance: false }, // a worker runs it
  )
}
