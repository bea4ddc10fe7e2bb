import { SluiceError } from "./errors.ts"

/** Why a handler's signal fires: its queue or its worker allows it no more time. The message is retried. */
export class HandlerTimeoutError extends SluiceError {
  readonly timeout: string

  constructor(timeout: string) {
    super("handler_timeout", `The handler took longer than its timeout of ${timeout}.`)
    this.timeout = timeout
  }
}

/** Why a handler's signal fires: its message was cancelled, and is gone when the handler ends. */
export class MessageCancelledError extends SluiceError {
  readonly queue: string
  readonly id: string

  constructor(queue: string, id: string) {
    super("message_cancelled", `Message ${id} of "${queue}" was cancelled.`)
    this.queue = queue
    this.id = id
  }
}

/** Why a handler's signal fires: its worker stops, and the time it gave its handlers is over. The message goes back to its queue. */
export class WorkerStoppedError extends SluiceError {
  readonly worker: string

  constructor(worker: string) {
    super("worker_stopped", `The worker ${worker} was stopped before the handler ended.`)
    this.worker = worker
  }
}

/** No worker has this name: none ever had, or it was purged. */
export class WorkerNotFoundError extends SluiceError {
  readonly worker: string

  constructor(worker: string) {
    super("worker_not_found", `There is no worker "${worker}". client.admin.workers.list() shows those there are.`)
    this.worker = worker
  }
}

/** A worker that stops, or has stopped, cannot be told anything else; it begins anew by its next start. Nothing was changed. */
export class WorkerStateError extends SluiceError {
  readonly worker: string
  readonly from: string
  readonly to: string

  constructor(worker: string, from: string, to: string) {
    super("worker_state", `The worker "${worker}" is ${from}, and cannot be ${to}.`)
    this.worker = worker
    this.from = from
    this.to = to
  }
}

/** `start` of a worker or subscriber whose transactional handlers may take all connections of the pool, and leave none to keep leases with. */
export class PoolTooSmallError extends SluiceError {
  readonly concurrency: number
  readonly maxConnections: number

  constructor(concurrency: number, maxConnections: number, of: "worker" | "subscriber" = "worker") {
    const most = Math.max(1, maxConnections - 1)
    const less = of === "worker" ? `the worker a concurrency of ${most}` : `the subscriber ${most} member(s)`
    super(
      "pool_too_small",
      `${concurrency} transactional handler(s) at once hold ${concurrency} connection(s), and the ${of} needs one more; the driver has ${maxConnections}. Give its pool ${concurrency + 1} connections or more, or ${less}.`,
    )
    this.concurrency = concurrency
    this.maxConnections = maxConnections
  }
}

/** What `client.result` waited for ended otherwise than as done. */
export class MessageFailedError extends SluiceError {
  readonly id: string
  readonly outcome: "dead" | "cancelled" | "expired"
  /** Of the last attempt, as it is kept: name, message, stack, attempt, at. Null where there is none. */
  readonly error: unknown

  constructor(id: string, outcome: "dead" | "cancelled" | "expired", error: unknown) {
    const reason = (error as { message?: string } | null)?.message
    super("message_failed", `Message ${id} ended as ${outcome}${reason ? `: ${reason}` : "."}`)
    this.id = id
    this.outcome = outcome
    this.error = error
  }
}

/** `client.result` waited in vain: the message has not ended, or its queue keeps no results. */
export class ResultTimeoutError extends SluiceError {
  readonly id: string
  readonly timeout: string

  constructor(id: string, timeout: string) {
    super("result_timeout", `There is no result of message ${id} after ${timeout}. Its queue must keep them: client.admin.updateQueue(name, { results: "1h" }).`)
    this.id = id
    this.timeout = timeout
  }
}

/** No schedule has this name. */
export class ScheduleNotFoundError extends SluiceError {
  readonly schedule: string

  constructor(schedule: string) {
    super("schedule_not_found", `There is no schedule "${schedule}". Make it with client.schedules.upsert("${schedule}", { … }).`)
    this.schedule = schedule
  }
}
