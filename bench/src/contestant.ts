/** What every message carries: about 120 bytes of JSON. */
export interface Payload {
  readonly n: number
  readonly text: string
}

/** A message as a contestant's own read returns it: whatever its delete needs, and the payload. */
export interface Received {
  readonly payload: Payload
}

export interface OpenOptions {
  /** How many statements may run at once: the size of the pool. */
  readonly connections: number
  /** Readers wait for what is sent here: whoever can only wake them at a price pays it now. */
  readonly wake?: boolean
  /** False: waits by looking again and again. Default true. */
  readonly listen?: boolean
}

export interface WorkOptions {
  /** Handlers that run at once. */
  readonly concurrency: number
  /** Each in a transaction of its own, in which its message is settled. */
  readonly transactional: boolean
}

/** Somebody who can be a queue. One small file each; `contestants.ts` lists them. */
export interface Contestant {
  readonly name: string
  /** Opens connections to a database of its own. Keeps what the URL says, its `application_name` above all. */
  open(url: string, options: OpenOptions): Session
}

export interface Session<Message extends Received = Received> {
  /** Makes the tables and one queue. Called once for each database, which is empty. */
  setup(): Promise<void>
  send(payload: Payload): Promise<unknown>
  sendBatch(payloads: readonly Payload[]): Promise<unknown>
  /** Leases up to `limit` messages, or finds none. Does not wait. */
  readBatch(limit: number): Promise<Message[]>
  /** Waits for a message the way this contestant does it best; gives up after about a second. */
  receive(): Promise<Message[]>
  deleteBatch(messages: readonly Message[]): Promise<unknown>
  /** Has what waits handled by a handler that does nothing, until nothing is left. Returns how many messages that were. */
  workOff(options: WorkOptions): Promise<number>
  /** Has each message that comes handled at once. Returns how to end it. */
  work(handle: (payload: Payload) => void): Promise<() => Promise<void>>
  /** Starts what this contestant wants running beside it all the time. Returns how to end it. */
  maintain?(): () => Promise<void>
  close(): Promise<void>
}
