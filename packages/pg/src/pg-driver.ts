import { Pool, type PoolClient, type PoolConfig } from "pg"
import type { Driver, SqlExecutor } from "@sluice/core"
import { types } from "./decode.ts"
import { listen } from "./listen.ts"
import type { ClientLike, ListenClient, PoolLike } from "./pool-like.ts"
import { subscriptions } from "./subscriptions.ts"
import { transaction } from "./transaction.ts"

export interface PgDriverOptions {
  /**
   * Prepare statements by name, which saves the server some planning. Default `false`: unnamed statements work behind
   * any transaction pooler.
   */
  prepare?: boolean
}

/** What a `Pool` of node-postgres has beyond {@link PoolLike}: enough to open a connection like its own. */
interface OwnConnections {
  options?: PoolConfig & { binary?: boolean }
  Client?: new (config: PoolConfig) => ListenClient
}

/**
 * Sluice over node-postgres. A pool that is handed in stays the caller's: `close` leaves it open, and ends only what
 * listens. From a URL or a config the driver opens a pool of its own, which `close` ends.
 */
export function pgDriver<Client = PoolClient>(pool: PoolLike<Client>, options?: PgDriverOptions): Driver<Client>
export function pgDriver(connection: string | PoolConfig, options?: PgDriverOptions): Driver<PoolClient>
export function pgDriver(
  source: PoolLike<PoolClient> | string | PoolConfig,
  options: PgDriverOptions = {},
): Driver<PoolClient> {
  const own = ownPool(source)
  const pool = own ?? (source as PoolLike<PoolClient>)
  const { options: config, Client } = pool as unknown as OwnConnections
  // The library reads binary values as if they were text: -7 becomes -272646673, and no query can turn it off.
  if (config?.binary) throw new TypeError("pgDriver cannot undo the option `binary` of this pool")

  const executor = (target: Pick<ClientLike, "query">): SqlExecutor => ({
    query: async (text, values = [], { name } = {}) =>
      // Without "extended", a statement without values may be several statements.
      (await target.query({ text, values, types, queryMode: "extended", name: options.prepare ? name : undefined }))
        .rows,
  })

  const listening =
    Client &&
    subscriptions((channel, onNotify, onReady) =>
      listen(() => new Client(listenConfig(config)), channel, onNotify, onReady),
    )

  return {
    name: "pg",
    maxConnections: pool.options?.max,
    ...executor(pool),
    within: (tx) => executor(transactionClient(tx)),
    transaction: async (work) => {
      const client = await pool.connect()
      return transaction(client, () => work(client))
    },
    listen: listening?.listen,
    close: async () => {
      await listening?.end()
      if (own && !own.ending) await own.end()
    },
  }
}

/** The pool's own settings. Its password is not enumerable, so that a spread alone would lose it. */
function listenConfig(options: PoolConfig = {}): PoolConfig {
  const { password, connectionTimeoutMillis } = options
  return { ...options, password, keepAlive: true, connectionTimeoutMillis: connectionTimeoutMillis || 10_000 }
}

function ownPool(source: unknown): Pool | undefined {
  if (isPool(source)) return undefined
  const pool = new Pool(poolConfig(source))
  // An idle connection that dies is replaced at the next use; without a listener it would end the process.
  pool.on("error", () => {})
  return pool
}

function poolConfig(source: unknown): PoolConfig {
  if (typeof source === "string" && /^(postgres(ql)?|socket):/.test(source)) return { connectionString: source }
  if (typeof source === "object" && source !== null && !("query" in source)) return source
  throw new TypeError(
    `pgDriver takes a Pool of node-postgres, or a connection URL (postgres://…) or config to open one, got ${what(source)}`,
  )
}

function what(source: unknown): string {
  if (source === undefined || source === "") return `${source === "" ? "an empty text" : "undefined"}: is DATABASE_URL set?`
  return typeof source === "object" && source !== null && "query" in source ? "a single Client" : typeof source
}

const isPool = (source: any): source is PoolLike<PoolClient> =>
  typeof source?.connect === "function" && typeof source.query === "function" && "totalCount" in source

function transactionClient(tx: unknown): Pick<ClientLike, "query"> {
  const client = tx as (ClientLike & { getTransactionStatus?(): string | null }) | null | undefined
  if (typeof client?.query !== "function" || isPool(tx)) {
    throw new TypeError("tx must be the client that runs the transaction: a PoolClient from pool.connect()")
  }
  return {
    query: (config) => {
      // "I" is idle: never begun, or over. The statement would take effect at once, outside of any transaction.
      if (client.getTransactionStatus?.() !== "I") return client.query(config)
      throw new TypeError("tx is in no transaction: await its BEGIN before joining it, and join it before its COMMIT")
    },
  }
}
