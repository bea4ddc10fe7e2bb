/** The part of a node-postgres `Pool` that the driver uses; pools that extend or imitate it fit too. */
export interface PoolLike<Client> {
  // Two signatures, because inference from an overloaded method only sees the last one.
  connect(): Promise<Client>
  connect(callback: (error: Error | undefined, client: Client | undefined, done: (release?: any) => void) => void): void
  query(config: any): Promise<{ rows: any[] }>
  readonly options?: { readonly max?: number }
}

/** The part of a checked-out client that the driver uses. */
export interface ClientLike {
  query(config: any): Promise<{ rows: any[]; command?: string }>
  on(event: "error", listener: (error: Error) => void): unknown
  removeListener(event: "error", listener: (error: Error) => void): unknown
  release(error?: Error | boolean): void
}

/** The part of a client outside any pool that `listen` uses. */
export interface ListenClient {
  connect(): Promise<unknown>
  query(text: string): Promise<unknown>
  end(): Promise<unknown>
  on(event: string, listener: (argument: any) => void): unknown
  readonly connection?: { readonly stream?: { destroy(): void } }
}
