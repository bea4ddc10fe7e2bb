import pg, { type CustomTypesConfig } from "pg"

/** What people do to the parsers of node-postgres, and more than that. The keys are OIDs. */
const parsers: { readonly [oid: number]: (text: string) => unknown } = {
  16: (text) => (text === "t" ? 1 : 0),
  20: BigInt,
  23: BigInt,
  114: (text) => text,
  701: (text) => text,
  1184: (text) => Date.parse(text),
  3802: (text) => text,
}

/** What a client with these parsers returns by itself. */
export const parsedTypes = { bool: "Number", int8: "BigInt", int4: "BigInt", float8: "String", timestamptz: "Number", jsonb: "String" }

/** For the whole process. */
export function setParsers(): void {
  for (const [oid, parse] of Object.entries(parsers)) pg.types.setTypeParser(Number(oid), parse)
}

/** For one client or pool. */
export const clientTypes = {
  getTypeParser: (oid: number, format?: "text") => parsers[oid] ?? pg.types.getTypeParser(oid, format),
} as CustomTypesConfig
