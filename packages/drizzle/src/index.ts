export { drizzleDriver, type DrizzleDriverOptions, type DrizzleLike } from "./drizzle-driver.ts"
