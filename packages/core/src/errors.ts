/**
 * The base of every error that Sluice throws. `code` is stable and meant to be switched on; `cause` is the driver's own
 * error where there was one.
 */
export class SluiceError extends Error {
  readonly code: string

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
    this.name = new.target.name
  }
}

/** No queue has this name. */
export class QueueNotFoundError extends SluiceError {
  readonly queue: string

  constructor(queue: string) {
    super("queue_not_found", `There is no queue "${queue}". Create it with client.admin.createQueue("${queue}").`)
    this.queue = queue
  }
}

/** `createQueue(name, { ifExists: "error" })` met a queue of that name; of a stream or a subscription the same. */
export class QueueAlreadyExistsError extends SluiceError {
  readonly queue: string

  constructor(queue: string, kind: "queue" | "stream" | "subscription" = "queue") {
    super("queue_already_exists", `The ${kind} "${queue}" exists already.`)
    this.queue = queue
  }
}

export interface OptionDifference {
  readonly option: string
  readonly stored: unknown
  readonly requested: unknown
}

const updates = { queue: "updateQueue", stream: "updateStream", subscription: "updateSubscription" }

/** `createQueue` met a queue of that name with other options, or `createStream` a stream. The stored ones are unchanged. */
export class QueueOptionsDifferError extends SluiceError {
  readonly queue: string
  readonly differences: readonly OptionDifference[]

  constructor(queue: string, differences: readonly OptionDifference[], kind: "queue" | "stream" | "subscription" = "queue", stream?: string) {
    const list = differences
      .map((d) => `${d.option} is ${JSON.stringify(d.stored)}, asked for was ${JSON.stringify(d.requested)}`)
      .join("; ")
    const advice = differences.some(({ option }) => option === "storage") ? "Storage is fixed at creation; create another queue." : `To change them: client.admin.${updates[kind]}(${stream === undefined ? "" : `"${stream}", `}"${queue}", { … }).`
    super("options_differ", `The ${kind} "${queue}" exists with other options: ${list}. ${advice}`)
    this.queue = queue
    this.differences = differences
  }
}

/** Where a queue is stored is decided at its creation. Nothing was changed. */
export class StorageFixedError extends SluiceError {
  readonly queue: string
  readonly stored: unknown
  readonly requested: unknown

  constructor(queue: string, stored: unknown, requested: unknown) {
    super("storage_fixed", `The queue "${queue}" is stored as ${JSON.stringify(stored)}, not as ${JSON.stringify(requested)}, and that is fixed at its creation. Only partition.retention and partition.unread can change; for another storage, create another queue.`)
    this.queue = queue
    this.stored = stored
    this.requested = requested
  }
}

/** A dead-letter queue would lead back to the queue itself. */
export class DeadLetterCycleError extends SluiceError {
  readonly queue: string
  readonly path: readonly string[]

  constructor(queue: string, path: readonly string[]) {
    super("dead_letter_cycle", `Dead-letter queues must not form a cycle: ${path.join(" -> ")}.`)
    this.queue = queue
    this.path = path
  }
}

/** `dropQueue` without `force` met live leases, other queues that bury their dead here, or schedules that send here. */
export class QueueInUseError extends SluiceError {
  readonly queue: string
  readonly inFlight: number
  readonly deadLetterOf: readonly string[]
  readonly schedules: readonly string[]

  constructor(queue: string, inFlight: number, deadLetterOf: readonly string[], schedules: readonly string[]) {
    const reasons = [
      ...(inFlight > 0 ? [`${inFlight} of its messages are in flight`] : []),
      ...(deadLetterOf.length > 0 ? [`it is the dead-letter queue of ${deadLetterOf.join(", ")}`] : []),
      ...(schedules.length > 0 ? [`schedules send to it: ${schedules.join(", ")}`] : []),
    ]
    super("queue_in_use", `The queue "${queue}" is in use: ${reasons.join(" and ")}. Drop it all the same with { force: true }.`)
    this.queue = queue
    this.inFlight = inFlight
    this.deadLetterOf = deadLetterOf
    this.schedules = schedules
  }
}

/** The name belongs to a stream where a queue was meant, or the other way round. */
export class WrongKindError extends SluiceError {
  readonly queue: string
  readonly expected: string
  readonly actual: string

  constructor(queue: string, expected: string, actual: string) {
    super("wrong_kind", `"${queue}" is ${inWords(actual)}, not ${inWords(expected)}.`)
    this.queue = queue
    this.expected = expected
    this.actual = actual
  }
}

const inWords = (kind: string): string => (kind === "work" ? "a queue" : `a ${kind}`)

/** A name that no queue or stream can have. Thrown before any SQL. */
export class InvalidNameError extends SluiceError {
  readonly value: unknown

  constructor(value: unknown, message: string) {
    super("invalid_name", message)
    this.value = value
  }
}

/** An argument or option that cannot be meant. Thrown before any SQL. `field` names it. */
export class InvalidOptionError extends SluiceError {
  readonly field: string
  readonly value: unknown

  constructor(field: string, value: unknown, message: string) {
    super("invalid_option", `${field}: ${message}`)
    this.field = field
    this.value = value
  }
}

/** The lease under which a message was read is no longer the message's: it was settled, released, or read again. */
export class StaleLeaseError extends SluiceError {
  readonly queue: string
  readonly id: string
  readonly lease: string

  constructor(queue: string, id: string, lease: string) {
    super("stale_lease", `Message ${id} of "${queue}" is no longer held under this lease: it was settled, released or read again meanwhile. Nothing was changed.`)
    this.queue = queue
    this.id = id
    this.lease = lease
  }
}

/** A send above the `sendRate` of its queue in this process. Nothing was sent. */
export class RateLimitedError extends SluiceError {
  readonly queue: string
  /** Milliseconds after which it would be let through. */
  readonly retryAfter: number

  constructor(queue: string, retryAfter: number) {
    super("rate_limited", `This process sends to "${queue}" faster than its sendRate. Try again in ${retryAfter} ms.`)
    this.queue = queue
    this.retryAfter = retryAfter
  }
}

/** `send` with `onConflict: "error"` met a message of the same key. Nothing was sent. */
export class KeyConflictError extends SluiceError {
  readonly queue: string
  readonly key: string
  /** Of the message that has the key. */
  readonly id: string
  readonly index: number | undefined

  constructor(queue: string, key: string, id: string, index: number | undefined) {
    super("key_conflict", `Message ${id} of "${queue}" has the key "${key}" already. Nothing was sent.`)
    this.queue = queue
    this.key = key
    this.id = id
    this.index = index
  }
}

/** `send` was to wait for a message that is dead, cancelled or expired already. Nothing was sent. */
export class DependencyFailedError extends SluiceError {
  readonly queue: string
  readonly id: string

  constructor(queue: string, id: string) {
    super("dependency_failed", `Message ${id} of "${queue}" has ended already, and not as done, so what waits for it would be cancelled. With ifFailed: "run" or "wait" it can be sent.`)
    this.queue = queue
    this.id = id
  }
}

/** A payload or headers that cannot be stored as they are. `path` leads to the value, `index` to the item of a batch. */
export class PayloadInvalidError extends SluiceError {
  readonly path: string
  readonly index: number | undefined
  /** What the queue's schema had to say, where it was the schema that refused. */
  readonly issues: readonly unknown[] | undefined

  constructor(path: string, reason: string, facts: { index?: number; issues?: readonly unknown[] } = {}) {
    const where = facts.index === undefined ? path : `item ${facts.index}, ${path}`
    super("payload_invalid", `${where}: ${reason}`)
    this.path = path
    this.index = facts.index
    this.issues = facts.issues
  }
}

/** A payload, or a whole batch, above its limit. Sizes are bytes of JSON text in UTF-8. */
export class PayloadTooLargeError extends SluiceError {
  readonly actual: number
  readonly limit: number
  readonly index: number | undefined

  constructor(what: string, actual: number, limit: number, index?: number) {
    super("payload_too_large", `${what} takes ${actual} bytes, the limit is ${limit}.`)
    this.actual = actual
    this.limit = limit
    this.index = index
  }
}

/** The schema, or a part of it, is not there. */
export class SchemaNotInstalledError extends SluiceError {
  readonly schema: string

  constructor(schema: string, options?: { cause?: unknown }) {
    super("schema_not_installed", `Sluice is not installed in the schema "${schema}" of this database. Run client.admin.install().`, options)
    this.schema = schema
  }
}

/** `uninstall` met tables or views in the schema that are not Sluice's. Nothing was changed. */
export class SchemaNotEmptyError extends SluiceError {
  readonly schema: string
  readonly relations: readonly string[]

  constructor(schema: string, relations: readonly string[]) {
    super("schema_not_empty", `The schema "${schema}" also holds ${relations.join(", ")}, and Sluice drops only what is its own. Move or drop these first. Nothing was changed.`)
    this.schema = schema
    this.relations = relations
  }
}

/** The installed schema is newer than this version of Sluice can work with, or older than it needs. */
export class SchemaVersionError extends SluiceError {
  readonly schema: string
  readonly installed: number
  readonly expected: number

  constructor(schema: string, installed: number, expected: number, options?: { cause?: unknown }) {
    const advice = installed > expected ? "Update @sluice/core." : "Run client.admin.install()."
    super("schema_version", `The schema "${schema}" is at version ${installed}, this version of Sluice needs ${expected}. ${advice}`, options)
    this.schema = schema
    this.installed = installed
    this.expected = expected
  }
}

/** The operation needs READ COMMITTED. The caller's transaction is still usable. */
export class IsolationLevelError extends SluiceError {
  readonly actual: string

  constructor(actual: string) {
    super("isolation_level", `This operation needs READ COMMITTED and met ${actual.toUpperCase()}, under whose older snapshot it would see nothing new.`)
    this.actual = actual
  }
}

/** The database role may not do this. */
export class PermissionDeniedError extends SluiceError {
  constructor(cause: unknown, reason: string) {
    super("permission_denied", `The database refused: ${reason}.`, { cause })
  }
}

/** The server cannot be reached, or the connection broke. Whether a statement in flight took effect is unknown. */
export class ConnectionError extends SluiceError {
  constructor(cause: unknown, reason: string) {
    super("connection", `No connection to the database: ${reason}.`, { cause })
  }
}

/** The server cancelled the statement: statement_timeout, lock_timeout or pg_cancel_backend. Nothing of it took effect. */
export class StatementCancelledError extends SluiceError {
  constructor(cause: unknown, reason: string) {
    super("statement_cancelled", `The database cancelled the statement: ${reason}.`, { cause })
  }
}

/** The `signal` of a call was aborted. What the call had leased is released. `cause` is the signal's reason. */
export class AbortedError extends SluiceError {
  constructor(cause: unknown) {
    super("aborted", "The call was aborted by its signal.", { cause })
  }
}
