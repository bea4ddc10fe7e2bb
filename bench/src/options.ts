import { parseArgs } from "node:util"
import { contestants } from "./contestants.ts"
import { fullSizes, quickSizes } from "./sizes.ts"
import type { Plan } from "./workload.ts"
import { workloads } from "./workloads.ts"

export interface Options extends Plan {
  readonly help: boolean
  /** The file for the results. */
  readonly json: string | undefined
}

/** Throws an error whose message is all that the user needs. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      workload: { type: "string", multiple: true },
      contestant: { type: "string", multiple: true },
      rounds: { type: "string" },
      seconds: { type: "string" },
      quick: { type: "boolean", default: false },
      json: { type: "string" },
      help: { type: "boolean", default: false, short: "h" },
    },
  })
  return {
    help: values.help,
    json: values.json,
    workloads: choose("workload", workloads, values.workload),
    contestants: choose("contestant", contestants, values.contestant),
    rounds: count("rounds", values.rounds, values.quick ? 3 : 5, 100),
    sizes: values.quick ? quickSizes : fullSizes,
    pinnedSeconds: count("seconds", values.seconds, values.quick ? 2 : 75, 3600),
  }
}

function choose<T extends { readonly name: string }>(kind: string, all: readonly T[], asked: readonly string[] | undefined): readonly T[] {
  const unknown = asked?.find((name) => !all.some((one) => one.name === name))
  if (unknown !== undefined) throw new Error(`There is no ${kind} ${unknown}. There are: ${all.map(({ name }) => name).join(", ")}.`)
  return asked === undefined ? all : all.filter(({ name }) => asked.includes(name))
}

function count(name: string, given: string | undefined, otherwise: number, most: number): number {
  const value = given === undefined ? otherwise : Number(given)
  if (!Number.isInteger(value) || value < 1 || value > most) throw new Error(`--${name} is a number from 1 to ${most}, not ${given}.`)
  return value
}

export const help: string = `pnpm bench [options]

Runs contestants side by side, in turns, on one server: DATABASE_URL, or a Postgres of its own with fsync on.

  --workload NAME     only this one; may be given again
  --contestant NAME   only this one; may be given again. raw is what the others are measured against
  --rounds N          rounds that count, after one that warms up. Default 5, or 3 when quick
  --seconds N         how long each contestant runs under a pinned horizon. Default 75, or 2 when quick
  --quick             small sizes: all in less than a minute
  --json FILE         writes the results there, too

Workloads
${list(workloads)}

Contestants: ${contestants.map(({ name }) => name).join(", ")}`

function list(all: Plan["workloads"]): string {
  return all.map(({ name, about }) => `  ${name.padEnd(18)}  ${about}`).join("\n")
}
