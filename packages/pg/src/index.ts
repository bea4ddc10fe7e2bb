export { pgDriver, type PgDriverOptions } from "./pg-driver.ts"
export type { PoolLike } from "./pool-like.ts"
