/** What the client of a Drizzle database made of a column: its OID, its name, and a value past all parsers. */
export interface Column {
  name: string
  oid: number
}

const numbers = new Set([21, 23, 26, 700, 701])
const texts = new Set([19, 25, 1042, 1043])
const booleans = new Map<unknown, boolean>([
  [true, true],
  ["t", true],
  [1, true],
  [false, false],
  ["f", false],
  [0, false],
])

/** Reads a value as the driver contract has it, from the server's text or from what a parser of the client made of it. */
export function readValue({ name, oid }: Column, value: unknown): unknown {
  if (value === null || value === undefined) return null
  if (numbers.has(oid)) return Number(value)
  if (oid === 16) return booleans.get(value) ?? fail(name, "bool", value)
  if (texts.has(oid) && typeof value !== "string") return fail(name, "text", value)
  return value
}

function fail(column: string, type: string, value: unknown): never {
  throw new TypeError(`A type parser of the client made a ${typeof value} of the ${type} in column "${column}"`)
}

/** Throws unless {@link readValue} gets back what a client's parsers and value transform did to some typical values. */
export function checkParsers(parse: (oid: number, text: string | null) => unknown, option: string): void {
  const cases: [oid: number, text: string | null, value: unknown][] = [
    [25, null, null],
    [25, "", ""],
    [25, ' It\'s {"a": 1} \u00e4 ', ' It\'s {"a": 1} \u00e4 '],
    [25, "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"],
    [23, "-7", -7],
    [23, "0", 0],
    [701, "1767225600000.5", 1767225600000.5],
    [16, "t", true],
    [16, "f", false],
  ]
  for (const [oid, text, value] of cases) {
    if (read(oid, text) !== value) throw new TypeError(`drizzleDriver cannot undo the option ${option} of db.$client`)
  }
  function read(oid: number, text: string | null): unknown {
    try {
      return readValue({ name: "", oid }, parse(oid, text))
    } catch {
      return undefined
    }
  }
}
