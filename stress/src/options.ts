import { parseArgs } from "node:util"
import { embeddedVersions, type PostgresMajor } from "@sluice/testkit"
import { type Storage, storages } from "./stress.ts"

export const usage: string = `pnpm stress [--minutes 1] [--seed n] [--only name] [--version ${embeddedVersions.join("|")}] [--storage ${storages.join("|")}]`

export interface Options {
  readonly seconds: number
  readonly seed: number
  /** All stresses where absent. */
  readonly only?: string
  readonly version?: PostgresMajor
  readonly storage: Storage
}

export function parseOptions(argv: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      minutes: { type: "string", default: "1" },
      seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
      only: { type: "string" },
      version: { type: "string" },
      storage: { type: "string", default: "shared" },
    },
  })
  const version = values.version === undefined ? undefined : oneOf("--version", values.version, embeddedVersions)
  return {
    seconds: positive("--minutes", values.minutes) * 60,
    seed: Math.floor(positive("--seed", values.seed)),
    only: values.only,
    version,
    storage: oneOf("--storage", values.storage, storages),
  }
}

function positive(option: string, text: string): number {
  const value = Number(text)
  if (!(value > 0 && value < 2 ** 31)) throw new Error(`${option} is a positive number, not ${text}.`)
  return value
}

function oneOf<T extends string | number>(option: string, text: string, list: readonly T[]): T {
  const found = list.find((one) => String(one) === text)
  if (found === undefined) throw new Error(`${option} is one of ${list.join(", ")}, not ${text}.`)
  return found
}
