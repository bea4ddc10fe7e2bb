/** What JSON can say. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

export interface JsonObject {
  readonly [key: string]: Json
}

/** Joins a call to a transaction of the caller's: it takes effect when that commits, or never. */
export interface TxOption<Tx> {
  /** The library's own transaction object. Sluice never begins, commits, retries or rolls it back. */
  readonly tx?: Tx
}
