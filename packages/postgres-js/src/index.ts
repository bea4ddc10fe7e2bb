export { postgresJsDriver } from "./postgres-js-driver.ts"
