export { pgliteDriver, type PGliteLike } from "./pglite-driver.ts"
