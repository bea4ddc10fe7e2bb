export type { Driver, QueryOptions, SqlExecutor, SqlValue, Unlisten } from "./driver.ts"
