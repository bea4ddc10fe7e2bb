import { describe } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"
import { InvalidOptionError, PayloadInvalidError } from "../errors.ts"
import { HandlerTimeoutError, MessageCancelledError, WorkerStoppedError } from "../work-errors.ts"
import type { Message } from "../message.ts"
import { errorDocument } from "../queue/attempt-error.ts"
import { issuePath } from "../standard-schema.ts"
import type { HandlerOptions } from "./handler.ts"
import { type HandlerOutcome, type Verdict, verdictIn } from "./outcome.ts"

/** What a worker does with a message: what its handler decided, or what became of the worker. */
export type Settlement = Verdict | { readonly to: "release" | "return"; readonly delay?: undefined; readonly error?: undefined }

/** The functions by which a user decides. */
interface Decides<Subject> {
  readonly onError?: ((error: unknown, subject: Subject) => HandlerOutcome | undefined | void) | undefined
  readonly backoff?: HandlerOptions["backoff"] | undefined
}

/** A message or an event: what a handler is called with. */
interface Attempted {
  readonly attempt: number
}

/** Of what a handler returned for one message. */
export function settlementOf<Subject extends Attempted>(value: unknown, message: Subject, spec: Decides<Subject>): Settlement {
  const verdict = verdictIn(value)
  return verdict === undefined ? { to: "done" } : withBackoff(verdict, message, spec)
}

/** Of what a batch handler returned: one answer for all, or an array with one for each. */
export function settlementsOf(value: unknown, messages: readonly Message[], spec: Decides<Message>): Settlement[] {
  const answers: unknown[] | undefined = Array.isArray(value) ? value : undefined
  if (answers === undefined || !answers.some((answer) => answer instanceof Error)) return messages.map((message) => settlementOf(value, message, spec))
  if (answers.length !== messages.length) {
    throw new InvalidOptionError("handler", value, `answered ${answers.length} outcome(s) for ${messages.length} message(s): return one for each, in order`)
  }
  return messages.map((message, i) => (answers[i] instanceof Error ? failed(answers[i], message, spec) : { to: "done" }))
}

/** Of what a handler threw. A signal that has fired says more than the error it led to. */
export function failed<Subject extends Attempted>(thrown: unknown, message: Subject, spec: Decides<Subject>, signal?: AbortSignal): Settlement {
  const reason: unknown = signal?.aborted ? signal.reason : undefined
  if (reason instanceof MessageCancelledError) return { to: "cancel" }
  if (reason instanceof WorkerStoppedError) return { to: "release" }
  const error = reason instanceof HandlerTimeoutError ? reason : thrown
  const own = verdictIn(error)
  if (own !== undefined) return withBackoff(own, message, spec)
  // So that the attempt is seen to have failed.
  const kept = error === undefined ? new Error("undefined was thrown.") : error
  try {
    const verdict = decided(kept, message, spec) ?? { to: "retry" }
    return withBackoff({ ...verdict, error: verdict.error ?? kept }, message, spec)
  } catch (bug) {
    return withBackoff({ to: "retry", error: both("onError", bug, kept) }, message, spec)
  }
}

/** The error of a payload that the queue's schema refuses; its text tells every issue. */
export function unreadable({ invalid }: Pick<Message, "invalid">, root = "payload"): PayloadInvalidError | undefined {
  const [first, ...more] = invalid ?? []
  if (first === undefined) return undefined
  const reason = [first.message, ...more.map((issue) => `${issuePath(issue, root)}: ${issue.message}`)].join("; ")
  return new PayloadInvalidError(issuePath(first, root), reason, { issues: invalid })
}

function decided<Subject>(error: unknown, message: Subject, { onError }: Decides<Subject>): Verdict | undefined {
  const answer: unknown = onError?.(error, message)
  const verdict = verdictIn(answer)
  if (verdict === undefined && answer !== undefined) throw nonsense("onError", answer, "an outcome, or nothing,")
  return verdict
}

function withBackoff<Subject extends Attempted>(verdict: Verdict, { attempt }: Subject, { backoff }: Decides<Subject>): Verdict {
  if (verdict.to !== "retry" || verdict.delay !== undefined || backoff === undefined) return verdict
  try {
    const delay: unknown = backoff(attempt, verdict.error)
    if (typeof delay === "object" && delay !== null) throw nonsense("backoff", delay, "a duration")
    return { ...verdict, delay: milliseconds(delay as Duration, "backoff") }
  } catch (bug) {
    return { ...verdict, error: both("backoff", bug, verdict.error) }
  }
}

/** A rejection of a promise that nobody was to return must not end the process. */
function nonsense(field: string, value: unknown, wanted: string): InvalidOptionError {
  Promise.resolve(value).catch(() => {})
  return new InvalidOptionError(field, value, `must return ${wanted} at once, got ${describe(value)}`)
}

/** What a user's own function throws is kept with the error that it was asked about, and seen. */
function both(name: string, bug: unknown, error: unknown): AggregateError {
  const asked = error === undefined ? "" : `, asked about: ${errorDocument(error).message}`
  return new AggregateError(error === undefined ? [bug] : [bug, error], `${name} failed: ${errorDocument(bug).message}${asked}`)
}
