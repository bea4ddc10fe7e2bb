import { setTimeout as sleep } from "node:timers/promises"
import type { DeadMessage, Handler, Queue, Subscriber, Worker } from "@sluice/core"
import type { OpenShop } from "../adapters/open-shop.ts"
import { keepAuditLog } from "../audit-log.ts"
import { keepOrderBook } from "../order-book.ts"
import { OutOfStockError, placeOrder } from "../orders.ts"
import { takePayments } from "../payments.ts"
import { reportSales, scheduleReports } from "../sales-report.ts"
import { shipOrders } from "../shipping.ts"
import { createProvider, type DemoProvider } from "./create-provider.ts"
import type { Flow } from "./flows.ts"
import { type DoomedWorker, forkDoomed } from "./fork-doomed.ts"
import { openShop } from "./open-shop.ts"
import { orAborted } from "./or-aborted.ts"
import { outstayLease } from "./outstay-lease.ts"
import type { Fate, PlannedOrder } from "./plan-orders.ts"
import { redriveUnpaid } from "./redrive-unpaid.ts"

const patience = 60_000

/** Places the orders with one adapter and has workers fulfil them with another, with everything going wrong on the way. Returns the payment that died. */
export async function runFlow(flow: Flow, planned: readonly PlannedOrder[], url: string, onStage: (stage: string) => void, stop: AbortSignal): Promise<DeadMessage> {
  const over = new AbortController()
  const timer = setTimeout(() => over.abort(new Error(`It took longer than ${patience / 1000} s.`)), patience)
  const signal = AbortSignal.any([stop, over.signal])
  const [counter, office] = await Promise.all([flow.placedWith, flow.fulfilledWith].map((adapter) => openShop(adapter, url, flow.key)))
  const doomed = forkDoomed(signal)
  const workers: (Worker | Subscriber)[] = []
  const employ = (name: string, ...handlers: Handler[]): Worker => {
    const worker = office!.sluice.worker(handlers, { name: `${flow.key}.${name}`, concurrency: 4, pollInterval: "100ms" })
    worker.on("error", ({ error }) => over.abort(error))
    workers.push(worker)
    return worker
  }
  const read = async (...subscribers: Subscriber[]): Promise<void> => {
    workers.push(...subscribers)
    for (const subscriber of subscribers) subscriber.on("error", ({ error }) => over.abort(error))
    await Promise.all(subscribers.map((subscriber) => subscriber.start()))
  }
  onStage(`placing ${planned.length} orders`)
  const placing = placeAll(counter!, planned)
  try {
    const messages = await orAborted(placing, signal)
    const messageOf = (fate: Fate): string => messages.get(planned.find((order) => order.fate === fate)!.id)!
    await counter!.payments.cancel(messageOf("withdrawn"))
    onStage("killing a worker and two subscribers, keeping a reader from settling in time")
    await orAborted(doomed.begin({ adapter: flow.placedWith, url, shop: flow.key, payments: 3 }), signal)
    return await fulfil({ key: flow.key, counter: counter!, office: office!, unanswered: messageOf("unanswered"), doomed, provider: createProvider(planned), employ, read, onStage, signal })
  } finally {
    clearTimeout(timer)
    over.abort(new Error("The flow is over."))
    // Transactions first: postgres.js throws where nobody can catch it if its client is ended under one. What hangs ends with the database.
    const ended = Promise.allSettled([placing, ...workers.map((worker) => worker.stop({ timeout: "2s" }))])
    await Promise.race([ended, sleep(5000, undefined, { ref: false })])
    await Promise.race([Promise.all([counter!.close(), office!.close()]), sleep(5000, undefined, { ref: false })])
  }
}

interface Stage {
  readonly key: string
  readonly counter: OpenShop
  readonly office: OpenShop
  /** The message of the order that the provider does not answer. */
  readonly unanswered: string
  readonly doomed: DoomedWorker
  readonly provider: DemoProvider
  employ(name: string, ...handlers: Handler[]): Worker
  read(...subscribers: Subscriber[]): Promise<void>
  onStage(stage: string): void
  readonly signal: AbortSignal
}

async function fulfil({ key, counter, office, unanswered, doomed, provider, employ, read, onStage, signal }: Stage): Promise<DeadMessage> {
  const cashier = employ("cashier", takePayments(office, provider))
  const cancelled = new Promise<void>((resolve, reject) => {
    cashier.on("start", ({ message }) => {
      if (message.id === unanswered) counter.payments.cancel(message.id).then(() => resolve(), reject)
    })
  })
  await cashier.start()
  await read(keepOrderBook(office), keepAuditLog(counter))
  await Promise.all([orAborted(doomed.kill(), signal), orAborted(cancelled, signal), outstayLease(counter, office, signal)])
  onStage("shipping; a payment is to die and come back")
  await employ("warehouse", shipOrders(office), reportSales(office)).start()
  const dead = await redriveUnpaid(office, provider, signal)
  await untilEmpty([office.payments, office.shipping], signal)
  await runNight(counter, office, key)
  await untilEmpty([office.reports], signal)
  await untilRead(office, signal)
  return dead
}

/** Returns the ids of the messages by those of the orders. The plain orders come first, and so to the worker that will be killed. */
async function placeAll(shop: OpenShop, planned: readonly PlannedOrder[]): Promise<Map<string, string>> {
  const messages = new Map<string, string>()
  const place = async (order: PlannedOrder): Promise<void> => {
    try {
      messages.set(order.id, await placeOrder(shop, order))
    } catch (error) {
      if (order.fate !== "sold out" || !(error instanceof OutOfStockError)) throw error
    }
  }
  await Promise.all(planned.filter(({ fate }) => fate === "plain").map(place))
  await Promise.all(planned.filter(({ fate }) => fate !== "plain").map(place))
  return messages
}

/** The demo does not last until three at night, and if it did, one report would be enough. */
async function runNight(counter: OpenShop, office: OpenShop, shop: string): Promise<void> {
  const [schedule] = await Promise.all([counter, office].map((each) => scheduleReports(each, shop)))
  await counter.sluice.schedules.pause(schedule!)
  await counter.sluice.schedules.runNow(schedule!)
}

/** Until no message is left, those under somebody's lease included. */
async function untilEmpty(queues: readonly Pick<Queue, "metrics">[], signal: AbortSignal): Promise<void> {
  for (const queue of queues) {
    while ((await queue.metrics()).length > 0) await sleep(50, undefined, { signal })
  }
}

/** Until every subscription has done with every event, those in somebody's batch included. */
async function untilRead({ sluice, events }: OpenShop, signal: AbortSignal): Promise<void> {
  for (;;) {
    const infos = await sluice.admin.listSubscriptions(events.name)
    if (infos.every(({ lag, pendingEvents, retries, batches }) => lag + pendingEvents + retries + batches.length === 0)) return
    await sleep(200, undefined, { signal })
  }
}
