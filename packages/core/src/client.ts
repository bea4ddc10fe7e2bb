import { type Admin, createAdmin } from "./admin/admin.ts"
import { checkBoolean, checkFunction, checkInteger, checkOptions, describe, validateName, validateQueueName, validateSchemaName } from "./check.ts"
import type { Driver } from "./driver.ts"
import { InvalidOptionError } from "./errors.ts"
import { defaultLimits, type PayloadLimits } from "./json.ts"
import { createMaintenance, type Maintenance, type MaintenanceOptions } from "./maintenance/maintenance.ts"
import { createNotifier } from "./notifier.ts"
import { once, type OnceOptions, type OnceResult } from "./once.ts"
import { createQueue, type Queue, type QueueTypes } from "./queue/queue.ts"
import { checkSendRate, createSendBudget, type SendBudget, type SendRate } from "./queue/send-rate.ts"
import { register, type RegisterOptions, type Registration } from "./registry/register.ts"
import { createSchedules, type Schedules } from "./schedules/schedules.ts"
import { createResults, type ResultOptions } from "./results.ts"
import { createSession, typedError } from "./session.ts"
import type { EventSchemas, EventTypes, TypesOf } from "./stream/event.ts"
import { checkTypes, createStream, type Stream } from "./stream/stream.ts"
import type { EventContext, EventHandlers, EventTransactionContext } from "./subscriber/handlers.ts"
import type { SubscriberOptions } from "./subscriber/options.ts"
import { createSubscriber, type Subscriber } from "./subscriber/subscriber.ts"
import { createTransactions } from "./transactions.ts"
import { createWakeHub } from "./wake-hub.ts"
import type { Handler } from "./worker/handler.ts"
import type { WorkerOptions } from "./worker/options.ts"
import { createWorker, type Worker } from "./worker/worker.ts"

export interface ClientOptions {
  /** Where Sluice lives in the database. Default `"sluice"`. */
  readonly schema?: string
  /** Whether a waiting reader opens a LISTEN connection of its own; without it, it polls. Default true. */
  readonly listen?: boolean
  /** Whether sends outside a transaction, and `client.transaction`, wake readers in other processes by NOTIFY. Default true. */
  readonly notify?: boolean
  readonly payload?: PayloadLimits
}

/** The entry to everything. `Tx` is the driver's transaction type: what `{ tx }` takes is inferred from it. */
export interface Client<Tx = unknown> {
  readonly admin: Admin<Tx>
  /** A queue and the type of its messages. No I/O. */
  queue<Input = unknown, Output = Input>(name: string, types?: QueueTypes<Input, Output>): Queue<Input, Output, Tx>
  /**
   * Runs `work` in a transaction of the driver's library, then wakes the readers of the queues that were sent to in it.
   * Commits when `work` resolves, rolls back when it rejects; nothing is retried.
   */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  /**
   * Runs `work` in the caller's transaction unless it was done under this key before, whoever did it, and resolves with what it returned then or now.
   * Key and effects commit together. Waits for a transaction that is open and has the key. Where `work` rejects, what it did is undone and the key
   * is free; the transaction goes on. Above READ COMMITTED a key taken meanwhile is a 40001, yours to retry. `work` must use the `tx` that it gets.
   */
  once<T>(tx: Tx, key: string, work: (tx: Tx) => T | Promise<T>, options?: OnceOptions): Promise<OnceResult<T>>
  /** Wakes the readers of a queue or stream: for use after a commit of your own, which Sluice cannot see. Resolves when the hint is out. */
  wake(queue: string): Promise<void>
  /** A stream and the types of its events. No I/O. */
  stream<Schemas extends EventSchemas>(name: string, types: { readonly events: Schemas }): Stream<TypesOf<Schemas>, Tx>
  stream(name: string, types?: { readonly events?: undefined }): Stream<EventTypes, Tx>
  /** A loop that has the events of a subscription handled, by a function for each type or one for all. `start` sets it to work. */
  subscriber<Types extends EventTypes = EventTypes>(stream: string | Stream<Types, Tx>, subscription: string, handlers: EventHandlers<NoInfer<Types>, EventTransactionContext<Tx>>, options: SubscriberOptions & { readonly transactional: true }): Subscriber
  subscriber<Types extends EventTypes = EventTypes>(stream: string | Stream<Types, Tx>, subscription: string, handlers: EventHandlers<NoInfer<Types>, EventContext>, options?: SubscriberOptions & { readonly transactional?: false }): Subscriber
  /** A loop that has messages handled, of one queue or of many. `start` sets it to work. */
  worker(handlers: readonly Handler<Tx>[], options?: WorkerOptions): Worker
  /** Puts a reader that is no worker into the list of workers. Throws `QueueNotFoundError`. Plain sends and reads need no such thing, and leave no trace there. */
  register(options: RegisterOptions): Promise<Registration>
  /** What sends messages by cron or at intervals. */
  readonly schedules: Schedules<Tx>
  /**
   * What the handler of a message returned, in any process, null where it returned nothing; waits for it. The queue must keep results. Throws `MessageFailedError` where the message
   * ended otherwise than as done, and `ResultTimeoutError`. However many wait, one statement looks for all of them.
   */
  result<Value = unknown>(id: string, options?: ResultOptions): Promise<Value>
  /** The loop that keeps storage flat and sends what schedules have due. Every worker runs it; start it yourself where there is none. */
  maintenance(options?: MaintenanceOptions): Maintenance
  /** Ends what this client opened: its workers and registrations, as `stop` does, its maintenance and its LISTEN connection, and the driver's pool where the driver made it. */
  close(): Promise<void>
}

export function createClient<Tx>(driver: Driver<Tx>, options: ClientOptions = {}): Client<Tx> {
  if (typeof driver?.query !== "function" || typeof driver.within !== "function") {
    throw new InvalidOptionError("driver", driver, `must be a driver such as pgDriver(pool), got ${describe(driver)}`)
  }
  checkOptions(options, ["schema", "listen", "notify", "payload"], "options")
  const { schema = "sluice", listen = true, notify = true } = options
  validateSchemaName(schema)
  const channel = `${schema}_wake`
  const session = createSession(driver, schema, checkLimits(options.payload ?? {}))
  const hub = createWakeHub(driver, channel, checkBoolean(listen, "listen"))
  const notifier = createNotifier(session, channel)
  checkBoolean(notify, "notify")
  const results = createResults(session, hub)

  const loops = new Set<Pick<Maintenance, "stop">>()
  const budgets = new Map<string, SendBudget>()
  let closed = false

  function budgetOf(name: string, rate: SendRate): SendBudget {
    const { limit, ms } = checkSendRate(rate)
    const budget = budgets.get(name) ?? createSendBudget(name, { limit, ms })
    if (budget.limit !== limit || budget.ms !== ms) throw new InvalidOptionError("sendRate", rate, `is another than the one that "${name}" has in this client`)
    budgets.set(name, budget)
    return budget
  }

  function wake(queue: string): void {
    hub.wakeLocal(queue)
    if (notify) notifier.notify(queue)
  }

  const transactions = createTransactions(driver, wake)

  return {
    admin: createAdmin(session),
    queue: (name, types = {}) => {
      validateQueueName(name)
      if (typeof types === "object" && types !== null && "~standard" in types) {
        throw new InvalidOptionError("types", types, "is a schema itself: pass it as { payload: schema }")
      }
      checkOptions(types, ["payload", "sendRate"], "types")
      checkSchema(types.payload)
      return createQueue(session, hub, transactions, { wake, onWorker: (worker) => loops.add(worker) }, name, types.payload, types.sendRate && budgetOf(name, types.sendRate))
    },
    stream: <Schemas extends EventSchemas>(name: string, types?: { readonly events?: Schemas | undefined }) => {
      validateName(name, "stream")
      checkTypes(types)
      return createStream<TypesOf<Schemas>, Tx>(session, hub, transactions, name, types?.events)
    },
    subscriber: (stream: string | Pick<Stream, "name" | "schemas">, subscription: string, handlers: unknown, how?: SubscriberOptions) => {
      const { name, schemas } = typeof stream === "object" && stream !== null ? stream : { name: stream, schemas: undefined }
      validateName(name, "stream")
      validateName(subscription, "subscription")
      const subscriber = createSubscriber({ session, hub, transactions, wake, stream: name, subscription, schemas }, handlers, how === undefined ? {} : how)
      loops.add(subscriber)
      subscriber.on("stopped", () => loops.delete(subscriber))
      return subscriber
    },
    transaction: async (work) => {
      checkFunction(work, "work")
      let failed = false
      try {
        return await transactions.run(async (tx) => {
          try {
            return await work(tx)
          } catch (error) {
            failed = true
            throw error
          }
        })
      } catch (error) {
        throw failed ? error : typedError(error)
      }
    },
    once: async (tx, key, work, how = {}) => once(session, tx, key, work, how, (inner) => transactions.join(inner, tx)),
    wake: async (queue) => {
      validateQueueName(queue)
      hub.wakeLocal(queue)
      notifier.notify(queue)
      await notifier.flush()
    },
    worker: (handlers, how = {}) => {
      const worker = createWorker(session, hub, wake, handlers, how)
      loops.add(worker)
      worker.on("stopped", () => loops.delete(worker))
      return worker
    },
    register: async (how) => {
      const registration = await register(session, how)
      // The database may be gone by then, and nobody is left to beat.
      loops.add({ stop: () => registration.stop().catch(() => {}) })
      return registration
    },
    schedules: createSchedules(session, transactions.sent),
    result: async <Value>(id: string, how: ResultOptions = {}) => (await results.wait(id, how)) as Value,
    maintenance: (how = {}) => {
      const loop = createMaintenance(session, how, () => closed, wake)
      loops.add(loop)
      return loop
    },
    close: async () => {
      closed = true
      await Promise.all([...loops].map((loop) => loop.stop()))
      await notifier.flush()
      await hub.close()
      await driver.close?.()
    },
  }
}

function checkLimits(limits: PayloadLimits): Required<PayloadLimits> {
  checkOptions(limits, ["maxBytes", "maxDepth", "forbiddenKeys"], "options.payload")
  const all = { ...defaultLimits, ...limits }
  // One jsonb value cannot exceed 256 MiB; half of that leaves room for its own structure.
  checkInteger(all.maxBytes, "options.payload.maxBytes", 1, 128 * 1024 * 1024)
  checkInteger(all.maxDepth, "options.payload.maxDepth", 1, 1000)
  if (!Array.isArray(all.forbiddenKeys) || all.forbiddenKeys.some((key) => typeof key !== "string")) {
    throw new InvalidOptionError("options.payload.forbiddenKeys", all.forbiddenKeys, "must be an array of strings")
  }
  return all
}

function checkSchema(schema: unknown): void {
  if (schema === undefined) return
  const { "~standard": standard } = (schema ?? {}) as { "~standard"?: { validate?: unknown } }
  if (typeof standard?.validate !== "function") {
    throw new InvalidOptionError("payload", schema, `must be a Standard Schema (zod, valibot, arktype …), got ${describe(schema)}`)
  }
}
