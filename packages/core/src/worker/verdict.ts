import { milliseconds } from "../duration.ts"
import { HandlerTimeoutError, InvalidOptionError, MessageCancelledError, PayloadInvalidError, WorkerStoppedError } from "../errors.ts"
import type { Message } from "../message.ts"
import { issuePath } from "../standard-schema.ts"
import type { HandlerOptions } from "./handler.ts"
import { type Verdict, verdictIn } from "./outcome.ts"

/** What a worker does with a message: what its handler decided, or what became of the worker. */
export type Settlement = Verdict | { readonly to: "release" | "return"; readonly delay?: undefined; readonly error?: undefined }

/** The functions by which a user decides. */
type Decides = Pick<HandlerOptions, "onError" | "backoff">

/** Of what a handler returned for one message. */
export function settlementOf(value: unknown, message: Message, spec: Decides): Settlement {
  const verdict = verdictIn(value)
  return verdict === undefined ? { to: "done" } : withBackoff(verdict, message, spec)
}

/** Of what a batch handler returned: one answer for all, or an array with one for each. */
export function settlementsOf(value: unknown, messages: readonly Message[], spec: Decides): Settlement[] {
  const answers: unknown[] | undefined = Array.isArray(value) ? value : undefined
  if (answers === undefined || !answers.some((answer) => answer instanceof Error)) return messages.map((message) => settlementOf(value, message, spec))
  if (answers.length !== messages.length) {
    throw new InvalidOptionError("handler", value, `answered ${answers.length} outcome(s) for ${messages.length} message(s): return one for each, in order`)
  }
  return messages.map((message, i) => (answers[i] instanceof Error ? failed(answers[i], message, spec) : { to: "done" }))
}

/** Of what a handler threw. A signal that has fired says more than the error it led to. */
export function failed(thrown: unknown, message: Message, spec: Decides, signal?: AbortSignal): Settlement {
  const reason: unknown = signal?.aborted ? signal.reason : undefined
  if (reason instanceof MessageCancelledError) return { to: "cancel" }
  if (reason instanceof WorkerStoppedError) return { to: "release" }
  const error = reason instanceof HandlerTimeoutError ? reason : thrown
  const verdict = verdictIn(error) ?? decided(error, message, spec)
  return withBackoff(verdict === undefined ? { to: "retry", error: error ?? new Error(`The handler threw ${error}.`) } : { ...verdict, error: verdict.error ?? (verdictIn(error) === undefined ? error : undefined) }, message, spec)
}

/** The error of a payload that the queue's schema refuses. */
export function unreadable(message: Message): PayloadInvalidError | undefined {
  const issue = message.invalid?.[0]
  return issue && new PayloadInvalidError(issuePath(issue, "payload"), issue.message, { issues: message.invalid })
}

/** What the user's functions throw is the error of the attempt: it is kept with the message, and seen. */
function decided(error: unknown, message: Message, spec: Decides): Verdict | undefined {
  try {
    return verdictIn(spec.onError?.(error, message))
  } catch (thrown) {
    return { to: "retry", error: new Error("onError threw.", { cause: thrown }) }
  }
}

function withBackoff(verdict: Verdict, { attempt }: Message, { backoff }: Decides): Verdict {
  if (verdict.to !== "retry" || verdict.delay !== undefined || backoff === undefined) return verdict
  try {
    return { ...verdict, delay: milliseconds(backoff(attempt, verdict.error), "backoff") }
  } catch (thrown) {
    return { ...verdict, error: verdict.error ?? thrown }
  }
}
