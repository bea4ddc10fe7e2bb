import type { Capability, DriverUnderTest } from "./harness.ts"
import type { Place } from "./open-place.ts"

/** `true`, or the reason why not. */
export type Capabilities = { readonly [Name in Capability]: true | string }

/** What the driver and its set-up show by themselves; what the set-up declares to lack wins. */
export function detectCapabilities(harness: DriverUnderTest, place: Place): Capabilities {
  const { driver, native, capabilities: declared = {} } = harness
  const told = (name: Capability): true | string => {
    const value = declared[name] ?? true
    return value === false ? `the set-up declares ${name}: false` : value
  }
  const when = (name: Capability, condition: boolean, reason: string): true | string =>
    told(name) === true && !condition ? reason : told(name)
  const concurrent = told("concurrent")
  return {
    concurrent,
    direct: concurrent === true ? told("direct") : concurrent,
    prepare: told("prepare"),
    timeout: told("timeout"),
    columnNames: told("columnNames"),
    parallel: when("parallel", driver.maxConnections !== 1, "the driver has one connection"),
    maxConnections: when("maxConnections", driver.maxConnections !== undefined, "the driver does not tell maxConnections"),
    tap: when("tap", place.tap !== undefined, place.tapless),
    listen: when("listen", driver.listen !== undefined, "the driver has no listen()"),
    savepoint: when("savepoint", driver.savepoint !== undefined, "the driver has no savepoint(): SAVEPOINT by hand"),
    manualSavepoint: when("manualSavepoint", driver.savepoint === undefined, "the driver has its own savepoint()"),
    begin: when("begin", harness.begin !== undefined, "the set-up has no begin()"),
    native: when("native", native !== undefined, "the set-up shows no native client"),
    nativeTypes: when("nativeTypes", native?.returns !== undefined, "the set-up does not tell what its client returns"),
    fromUrl: when("fromUrl", harness.fromUrl !== undefined, "the set-up makes no driver from a URL"),
  }
}
