import { setTimeout as sleep } from "node:timers/promises"
import { adapters } from "../adapters/adapters.ts"
import type { OpenShop } from "../adapters/open-shop.ts"
import { OutOfStockError, placeOrder } from "../orders.ts"
import { fulfilNext } from "../shipping.ts"
import type { Flow } from "./flows.ts"
import { killConsumer } from "./kill-consumer.ts"
import { orAborted } from "./or-aborted.ts"
import { outstayLease } from "./outstay-lease.ts"
import type { PlannedOrder } from "./plan-orders.ts"

const patience = 30_000

/** Places the orders with one adapter and fulfils them with another, losing three consumers on the way. */
export async function runFlow(
  { key: queue, placedWith, fulfilledWith }: Flow,
  planned: readonly PlannedOrder[],
  url: string,
  onStage: (stage: string) => void,
  stop: AbortSignal,
): Promise<void> {
  const over = new AbortController()
  const timer = setTimeout(() => over.abort(new Error(`It took longer than ${patience / 1000} s.`)), patience)
  const signal = AbortSignal.any([stop, over.signal])
  const counter = adapters[placedWith]!(url, queue)
  const warehouse = adapters[fulfilledWith]!(url, queue)
  const atWork: Promise<unknown>[] = []
  const start = <T>(work: Promise<T>): Promise<T> => {
    atWork.push(work)
    return work
  }
  try {
    const doomed = { adapter: placedWith, url, queue }
    onStage(`placing ${planned.length} orders`)
    const killed = Promise.all([
      killConsumer({ ...doomed, moment: "paid, not shipped" }, signal),
      killConsumer({ ...doomed, moment: "shipped, not settled" }, signal),
    ])
    killed.catch(() => {}) // awaited below
    await orAborted(Promise.all(planned.map((order) => start(place(counter, order)))), signal)
    onStage("killing two consumers, keeping a third from settling in time")
    const { others, tried } = await outstayLease(counter, warehouse, signal)
    start(tried).catch(() => {}) // awaited below
    await killed
    onStage("fulfilling, and waiting for three leases to expire")
    await Promise.all([start(drain(others, signal)), start(drain(others, signal)), tried])
  } finally {
    clearTimeout(timer)
    over.abort(new Error("The flow is over."))
    // Transactions first: postgres.js throws where nobody can catch it if its client is ended under one. One that hangs
    // ends with the database.
    await Promise.race([Promise.allSettled(atWork), sleep(5000, undefined, { ref: false })])
    const closed = Promise.all([counter.close(), warehouse.close()])
    await Promise.race([closed, sleep(5000, undefined, { ref: false })])
  }
}

async function place(shop: OpenShop, order: PlannedOrder): Promise<void> {
  try {
    await placeOrder(shop, order)
  } catch (error) {
    if (order.accepted || !(error instanceof OutOfStockError)) throw error
  }
}

/** Fulfils orders until there is none left, those under somebody's lease included. */
async function drain(shop: OpenShop, signal: AbortSignal): Promise<void> {
  const lease = "10s"
  while ((await fulfilNext(shop, { lease, wait: "100ms", signal })) || (await shop.placed.metrics()).length > 0);
}
