import type { Driver } from "@sluice/core"

export type Isolation = "read committed" | "repeatable read" | "serializable"

/** What a case may need. A driver that lacks one has those cases reported as skipped, by name and with the reason. */
export type Capability =
  /** A second, independent connection to the same database. An in-process database has none. */
  | "concurrent"
  /** One driver runs several statements at once: `maxConnections` is not 1. */
  | "parallel"
  /** The driver tells how many connections it may use: `maxConnections`. */
  | "maxConnections"
  /** Every connection is a server process of its own: not behind a pooler. */
  | "direct"
  /** The client may prepare statements: not `prepare: false`. */
  | "prepare"
  /** The connection can be led through the kit's proxy: plain TCP. */
  | "tap"
  /** The server can stop a statement that runs: it is not in this very process. */
  | "timeout"
  /** No transform of the client makes one column name of two: not `transform: postgres.camel`. */
  | "columnNames"
  | "listen"
  | "savepoint"
  /** The driver has no `savepoint`, so that SAVEPOINT is issued by hand. */
  | "manualSavepoint"
  | "begin"
  | "native"
  | "nativeTypes"
  | "fromUrl"

/** What {@link MakeDriver} is given. */
export interface DriverSetup {
  /** Connects to the database under test, usually through the kit's proxy. Empty if the run was given no URL. */
  readonly url: string
  /** The size of the pool, where a case depends on it. Otherwise choose your own, at least 2. */
  readonly max?: number
}

/** The user's own client, past the driver: shows what the driver did to it. */
export interface NativeClient {
  /** Runs a statement on the client that the driver was made from, with the client's own parsers. */
  query(text: string): Promise<readonly unknown[]>
  /**
   * The constructor names of what the client returns by itself, by type: `{ timestamptz: "Date", int8: "String" }`.
   * After your test's own changes to the client, and before anything that the driver does to it.
   */
  readonly returns?: { readonly [sqlType: string]: string }
}

/** What {@link MakeDriver} answers with: a driver, and the hooks that let a case see more. */
export interface DriverUnderTest {
  readonly driver: Driver
  /** Opens a transaction by the library itself, as a user would, without the driver. */
  begin?<T>(isolation: Isolation, work: (tx: unknown) => Promise<T>): Promise<T>
  readonly native?: NativeClient
  /** Makes a driver that opens its own connections, where the driver takes a URL. */
  fromUrl?(url: string): Driver
  /** `false`, or better the reason as a sentence, for what this set-up cannot do. */
  readonly capabilities?: { readonly [Name in Capability]?: boolean | string }
  /** Ends the driver and everything that was opened for it. */
  close(): Promise<void>
}

/** Makes a fresh driver. Called for every case, and again where a case needs a second connection. */
export type MakeDriver = (setup: DriverSetup) => DriverUnderTest | Promise<DriverUnderTest>
