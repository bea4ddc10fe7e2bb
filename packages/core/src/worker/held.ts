import type { Message } from "../message.ts"
import type { Settlement } from "./verdict.ts"

/** A message that the worker holds, from its claim until it is settled. */
export interface Held {
  readonly message: Message
  /** Its handler has been called. */
  begun: boolean
  /** Of the call that handles it, with `mates`. */
  controller: AbortController | undefined
  /** All messages of the call. */
  mates: readonly Held[]
  /** What was learned of it before its turn came. */
  doomed: Settlement | "lost" | undefined
}

export const hold = (message: Message): Held => ({ message, begun: false, controller: undefined, mates: [], doomed: undefined })
