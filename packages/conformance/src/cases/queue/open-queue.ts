import { createClient, SluiceError } from "@sluice/core"
import type { Client, ClientOptions, Driver, Message, Queue, QueueOptions } from "@sluice/core"
import { equal, fail, inTime, ok, rejects } from "../../assert.ts"
import type { CaseContext } from "../../case.ts"
import { schema } from "../../open-place.ts"

export interface OpenQueue {
  readonly client: Client
  readonly queue: Queue
  readonly name: string
}

/** A client on the case's driver, with the schema in place. It is closed after the case; the driver stays open. */
export async function openClient(context: CaseContext, options: ClientOptions = {}, driver: Driver = context.driver): Promise<Client> {
  const client = createClient(borrowed(driver), { schema, ...options })
  context.after(() => inTime(client.close(), "client.close()"))
  await client.admin.install()
  return context.queueOptions === undefined ? client : withQueueOptions(context, client, context.queueOptions)
}

/** Where the run stores its queues. Each has tables of its own then, so that none stays longer than its case. */
function withQueueOptions(context: CaseContext, client: Client, queueOptions: QueueOptions): Client {
  const createQueue: Client["admin"]["createQueue"] = async (name, own = {}) => {
    const info = await client.admin.createQueue(name, { ...queueOptions, ...own })
    context.after(() => inTime(client.admin.dropQueue(name, { force: true }), "dropQueue()").catch(() => undefined))
    return info
  }
  return { ...client, admin: { ...client.admin, createQueue } }
}

/** A queue of the case's own. */
export async function openQueue(context: CaseContext, options: QueueOptions = {}): Promise<OpenQueue> {
  const client = await openClient(context)
  const name = context.unique("queue")
  await client.admin.createQueue(name, options)
  return { client, name, queue: client.queue(name) }
}

/** The same queue through a driver with connections of its own. */
export async function openElsewhere(context: CaseContext, name: string): Promise<Queue> {
  const { driver } = await context.connect()
  return (await openClient(context, {}, driver)).queue(name)
}

/** `client.close()` must not end what the case's set-up ends. */
export function borrowed(driver: Driver): Driver {
  const { name, maxConnections, listen } = driver
  return {
    name,
    maxConnections,
    query: (text, values, options) => driver.query(text, values, options),
    within: (tx) => driver.within(tx),
    transaction: (work) => driver.transaction(work),
    savepoint: driver.savepoint && ((tx, work) => driver.savepoint!(tx, work)),
    listen: listen && ((channel, onNotify, onReady) => listen.call(driver, channel, onNotify, onReady)),
  }
}

/** What the server's clock says at `stopClock(context, 0)`. */
export const midnight: number = Date.parse("2030-01-01T00:00:00Z")

/** Stops the schema's clock this many seconds after midnight; it goes again after the case. Cases run one by one. */
export async function stopClock(context: CaseContext, seconds: number): Promise<void> {
  const time = new Date(midnight + seconds * 1000).toISOString()
  if (seconds === 0) context.after(() => inTime(setClock(context, "clock_timestamp()"), "the clock must go again"))
  await setClock(context, `timestamptz '${time}'`)
}

async function setClock({ exec }: CaseContext, now: string): Promise<void> {
  await exec(`create or replace function ${schema}.clock() returns timestamptz language sql volatile as $$ select ${now} $$`)
}

/** The table that holds the messages of a queue. */
export async function messageTable({ exec }: CaseContext, queue: Queue): Promise<string> {
  const [row] = await exec<{ name: string }>(`select ${schema}.message_table(storage) as name from ${schema}.queue where name = $1::text and dropped_at is null`, [queue.name])
  return `${schema}.${row?.name ?? fail(`no queue ${queue.name}`)}`
}

/** Parks a message, which no operation does yet. */
export async function mustPark(context: CaseContext, queue: Queue, id: string): Promise<void> {
  const parked = await context.exec(`update ${await messageTable(context, queue)} set vt = 'infinity', lease = null where id = $1::text::bigint returning id::text as id`, [id])
  equal(parked, [{ id }], "parked")
}

/** A read that must find something. */
export async function mustRead(queue: Queue, options?: Parameters<Queue["read"]>[0]): Promise<Message> {
  return (await queue.read(options)) ?? fail(`read() of ${queue.name}: there must be a message`)
}

/** Waits for an error of core's own with this code and these facts. */
export async function refuses(promise: Promise<unknown>, code: string, facts: object, what: string): Promise<SluiceError> {
  const error = await rejects(promise, what)
  ok(error instanceof SluiceError, `${what}: must reject with an error of Sluice, received ${String(error)}`)
  const received = Object.fromEntries(["code", ...Object.keys(facts)].map((key) => [key, (error as never)[key]]))
  equal(received, { code, ...facts }, `${what}: ${error.message}`)
  return error
}

export const payloads = (messages: readonly { readonly payload: unknown }[]): unknown[] => messages.map((one) => one.payload)
export const ids = (messages: readonly { readonly id: string }[]): string[] => messages.map((one) => one.id)
