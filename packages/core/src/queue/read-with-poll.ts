import { throwIfAborted } from "../abort.ts"
import { checkOptions } from "../check.ts"
import { type Duration, milliseconds } from "../duration.ts"
import { InvalidOptionError } from "../errors.ts"
import type { Message } from "../message.ts"
import type { Session } from "../session.ts"
import type { StandardSchema } from "../standard-schema.ts"
import type { WakeHub } from "../wake-hub.ts"
import { checkReadOptions, readBatch, type ReadBatchOptions } from "./read.ts"

export interface PollOptions extends Omit<ReadBatchOptions<never>, "tx"> {
  /** How long to wait for a first message. Default "5s"; 0 is one plain read. */
  readonly wait?: Duration
  /** How often to look. Default: after 5 ms, then ever later, up to once a second. */
  readonly interval?: Duration
}

const FIRST_PAUSE = 5
const LONGEST_PAUSE = 1000

/**
 * Waits in the client: between two looks it holds neither a connection nor a transaction. Returns as soon as one message
 * is there, up to `limit`; `[]` when the wait is over. A wake of the queue cuts a pause short.
 */
export async function readWithPoll<Tx, Out>(
  session: Session<Tx>,
  hub: WakeHub,
  queue: string,
  schema: StandardSchema<unknown, Out> | undefined,
  options: PollOptions,
): Promise<Message<Out>[]> {
  checkOptions(options, ["limit", "lease", "filter", "signal", "wait", "interval"], "options")
  const { wait = "5s", interval, ...readOptions } = options
  const deadline = performance.now() + milliseconds(wait, "wait")
  const fixed = interval === undefined ? undefined : milliseconds(interval, "interval")
  checkReadOptions(readOptions, session.limits)
  if (fixed === 0) throw new InvalidOptionError("interval", interval, "must be longer than 0")
  if (wait === 0) return readBatch(session, queue, schema, readOptions)

  const waker = hub.subscribe(queue)
  try {
    for (let pause = fixed ?? FIRST_PAUSE; ; pause = fixed ?? Math.min(pause * 2, LONGEST_PAUSE)) {
      waker.reset()
      const messages = await readBatch(session, queue, schema, readOptions)
      const left = deadline - performance.now()
      if (messages.length > 0 || left <= 0) return messages
      await waker.wait(Math.min(pause, left), options.signal)
      throwIfAborted(options.signal)
    }
  } finally {
    waker.close()
  }
}
