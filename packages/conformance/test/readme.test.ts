import { readFileSync } from "node:fs"
import { expect, it } from "vitest"
import { rules } from "../src/index.ts"

const readme = read("packages/conformance/README.md")
const blocks = [...readme.matchAll(/^```ts file=(\S+)\n([\s\S]*?)^```$/gm)]

function read(file: string): string {
  return readFileSync(new URL(`../../../${file}`, import.meta.url), "utf8")
}

it("the tutorial shows code of the certified example", () => {
  expect(blocks.length).toBeGreaterThan(5)
  for (const [, file, code] of blocks) expect(read(file!)).toContain(code)
})

it("the tutorial explains every rule under its own heading", () => {
  const headings = [...readme.matchAll(/^### (.+)$/gm)].map(([, heading]) => heading)
  expect(headings).toEqual(Object.keys(rules))
})
