import { checkOptions } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"

/** The same for every copy of this package in a process. */
const BRAND: unique symbol = Symbol.for("sluice.outcome") as never

/**
 * What becomes of a message, where a handler says more than by returning or throwing. Return it and what the handler did in its
 * transaction stays; throw it and that is rolled back.
 */
export interface HandlerOutcome extends Error {
  readonly [BRAND]: Verdict
}

export interface Verdict {
  readonly to: "done" | "retry" | "snooze" | "dead" | "cancel"
  /** Milliseconds. */
  readonly delay?: number
  readonly error?: unknown
}

class OutcomeError extends Error implements HandlerOutcome {
  readonly [BRAND]: Verdict

  constructor(verdict: Verdict) {
    super(`The handler decided: ${verdict.to}.`)
    this.name = "HandlerOutcome"
    this[BRAND] = verdict
  }
}

export interface RetryOutcome {
  /** Default: the handler's backoff, or the queue's. */
  readonly delay?: Duration
  /** Kept with the message. */
  readonly error?: unknown
}

/** What a handler may return or throw: `return outcome.snooze("5m")`. */
export interface Outcomes {
  /** Deleted or archived, as its queue says. What any other return value means. */
  done(): HandlerOutcome
  /** Again later; the attempt is charged, and at the limit of attempts the message is dead. What any other error means. */
  retry(options?: RetryOutcome): HandlerOutcome
  /** Again after this long; the attempt is not charged. */
  snooze(delay: Duration): HandlerOutcome
  /** No more attempts: to the dead-letter queue, or the archive where there is none. */
  deadLetter(error?: unknown): HandlerOutcome
  /** No longer wanted: gone, or archived as cancelled where the queue keeps what is done. */
  cancel(error?: unknown): HandlerOutcome
}

export const outcome: Outcomes = {
  done: () => new OutcomeError({ to: "done" }),
  retry: (options = {}) => {
    checkOptions(options, ["delay", "error"], "options")
    const { delay, error } = options
    return new OutcomeError({ to: "retry", error, ...(delay !== undefined && { delay: milliseconds(delay, "delay") }) })
  },
  snooze: (delay) => new OutcomeError({ to: "snooze", delay: milliseconds(delay, "delay") }),
  deadLetter: (error) => new OutcomeError({ to: "dead", error }),
  cancel: (error) => new OutcomeError({ to: "cancel", error }),
}

/** The verdict of a value that a handler returned or threw; undefined where it is no outcome. Never throws, whatever a proxy does. */
export function verdictIn(value: unknown): Verdict | undefined {
  try {
    return typeof value === "object" && value !== null && BRAND in value ? (value as HandlerOutcome)[BRAND] : undefined
  } catch {
    return undefined
  }
}
