import { describe, expect, test } from "vitest"
import { contestants } from "../src/contestants.ts"
import { help, parseOptions } from "../src/options.ts"
import { workloads } from "../src/workloads.ts"

describe("parseOptions", () => {
  test("takes everything unless told otherwise, in its own order", () => {
    expect(parseOptions([])).toMatchObject({ workloads, contestants, rounds: 5, pinnedSeconds: 75, json: undefined })
    const chosen = parseOptions(["--workload", "pinned", "--workload", "send", "--contestant", "raw", "--seconds", "20", "--quick"])
    expect(chosen.workloads.map(({ name }) => name)).toEqual(["send", "pinned"])
    expect(chosen).toMatchObject({ contestants: [{ name: "raw" }], rounds: 3, pinnedSeconds: 20 })
  })

  test("refuses what there is not, and says what there is", () => {
    expect(() => parseOptions(["--workload", "sleep"])).toThrow("There is no workload sleep. There are: send, drain")
    expect(() => parseOptions(["--contestant", "kafka"])).toThrow("There is no contestant kafka. There are: raw, sluice-pg")
    expect(() => parseOptions(["--rounds", "0"])).toThrow("--rounds is a number from 1 to 100, not 0.")
    expect(() => parseOptions(["--fast"])).toThrow("--fast")
  })

  test("the help names every workload and contestant", () => {
    for (const { name } of [...workloads, ...contestants]) expect(help).toContain(name)
  })
})
