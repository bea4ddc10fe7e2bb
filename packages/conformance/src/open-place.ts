import { randomBytes } from "node:crypto"
import type { ConnectOptions } from "./case.ts"
import { inTime } from "./assert.ts"
import type { DriverSetup, DriverUnderTest, MakeDriver } from "./harness.ts"
import { openWireTap, type WireTap } from "./wire-tap.ts"

export interface PlaceOptions {
  /** Connects as a role that may create databases. Leave out for a driver whose database is in its own process. */
  readonly url?: string
  /**
   * `"fresh"` (default) creates a database for the run and drops it afterwards. `"given"` works in the one that `url`
   * names, in a schema of its own; nobody else may be connected to it meanwhile.
   */
  readonly database?: "fresh" | "given"
}

/** Where a run takes place: a database, and the proxy in front of it. */
export interface Place {
  readonly tap: WireTap | undefined
  /** Why there is no proxy. */
  readonly tapless: string
  setup(options?: ConnectOptions): DriverSetup
  close(): Promise<void>
}

/** Cases make their tables here. */
export const schema = "sluice_conformance"

export async function openPlace(makeDriver: MakeDriver, options: PlaceOptions): Promise<Place> {
  const { url = "", database = "fresh" } = options
  const fresh = url !== "" && database === "fresh" ? `sluice_kit_${randomBytes(6).toString("hex")}` : undefined
  if (fresh !== undefined) await once(makeDriver, { url }, `create database ${fresh} template template0`)
  const direct = fresh === undefined ? url : databaseUrl(url, fresh)
  await once(makeDriver, { url: direct }, `create schema if not exists ${schema}`)
  const tapless = whyNoTap(direct)
  const tap = tapless === "" ? await openWireTap(direct) : undefined
  return {
    tap,
    tapless,
    setup: (connect = {}) => ({ url: connect.untapped || tap === undefined ? direct : tap.url, max: connect.max }),
    async close() {
      await tap?.close()
      if (fresh !== undefined) await once(makeDriver, { url }, `drop database if exists ${fresh} with (force)`)
      else await once(makeDriver, { url }, `drop schema if exists ${schema} cascade`)
    },
  }
}

function databaseUrl(url: string, database: string): string {
  const result = new URL(url)
  result.pathname = `/${database}`
  return result.href
}

function whyNoTap(url: string): string {
  if (!URL.canParse(url)) return "the run was given no URL"
  const { hostname, searchParams } = new URL(url)
  if (hostname === "" || searchParams.has("host")) return "the URL names no TCP host"
  const ssl = searchParams.get("sslmode") ?? "disable"
  return ["disable", "allow", "prefer"].includes(ssl) ? "" : "the URL asks for TLS"
}

async function once(makeDriver: MakeDriver, setup: DriverSetup, text: string): Promise<void> {
  const { driver, close }: DriverUnderTest = await makeDriver({ ...setup, max: 1 })
  try {
    await inTime(driver.query(text), `the driver did not run "${text}"`, 20_000)
  } finally {
    await close()
  }
}
