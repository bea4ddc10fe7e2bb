import { inspect, isDeepStrictEqual } from "node:util"
import { messagesOf, sqlStateOf } from "./sql-state.ts"

/** A rule that does not hold. The runner adds which. */
class ConformanceFailure extends Error {
  override readonly name = "ConformanceFailure"
}

export function fail(message: string): never {
  throw new ConformanceFailure(message)
}

export function ok(condition: boolean, message: string): asserts condition {
  if (!condition) fail(message)
}

/** Strict: `1` is not `"1"`, `null` is not `undefined`, a Date is not its text. */
export function equal(received: unknown, expected: unknown, what: string): void {
  if (isDeepStrictEqual(received, expected)) return
  fail(`${what}\n  expected ${show(expected)}\n  received ${show(received)}`)
}

/** Compares rows by value. An array of a class of its own passes, a row of a class of its own does not. */
export function equalRows(received: unknown, expected: readonly object[], what: string): void {
  ok(Array.isArray(received), `${what}: rows must be an array, received ${show(received)}`)
  for (const row of received) {
    const prototype: unknown = typeof row === "object" && row !== null ? Object.getPrototypeOf(row) : undefined
    ok(
      prototype === Object.prototype || prototype === null,
      `${what}: a row must be a plain object, received ${show(row)}`,
    )
  }
  equal(
    received.map((row: object) => ({ ...row })),
    expected,
    what,
  )
}

/** Waits for a rejection and returns its reason. An assertion that failed within is no answer to the question. */
export async function rejects(promise: Promise<unknown>, what: string): Promise<unknown> {
  let value: unknown
  try {
    value = await promise
  } catch (error) {
    for (let cause = error; cause instanceof Error; cause = cause.cause) {
      if (cause instanceof ConformanceFailure) throw cause
    }
    return error
  }
  return fail(`${what}\n  expected a rejection\n  received ${show(value)}`)
}

export async function rejectsWith(promise: Promise<unknown>, state: string, what: string): Promise<Error> {
  const error = await rejects(promise, what)
  ok(error instanceof Error, `${what}: must reject with an Error, received ${show(error)}`)
  if (sqlStateOf(error) === state) return error
  return fail(
    `${what}\n  expected SQLSTATE ${state} in \`code\` of the error or of a cause` +
      `\n  received ${sqlStateOf(error) ?? "none"} (${error.name}: ${messagesOf(error)})`,
  )
}

/** Fails with a sentence of its own where a broken driver would hang. */
export async function inTime<T>(promise: Promise<T>, what: string, ms = 3_000): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ConformanceFailure(`${what}: nothing happened for ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Asks again until the answer is as expected. */
export async function eventually<T>(ask: () => T | Promise<T>, expected: T, what: string, ms = 4_000): Promise<void> {
  const end = Date.now() + ms
  let received = await ask()
  while (!isDeepStrictEqual(received, expected) && Date.now() < end) {
    await sleep(15)
    received = await ask()
  }
  equal(received, expected, `${what} (after ${ms} ms)`)
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function show(value: unknown): string {
  const text = inspect(value, { depth: 6, breakLength: 100, maxStringLength: 200, maxArrayLength: 20 })
  const kind = value === null || typeof value !== "object" ? typeof value : value.constructor?.name
  return `${text} (${kind})`
}
