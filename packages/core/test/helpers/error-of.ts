/** What a promise rejects with. That it does not reject is the failure. */
export async function errorOf<E = Error & { code?: string }>(promise: Promise<unknown> | (() => unknown)): Promise<E> {
  let value: unknown
  try {
    value = await (typeof promise === "function" ? promise() : promise)
  } catch (error) {
    return error as E
  }
  throw new Error(`There was no error, but ${JSON.stringify(value)}`)
}
