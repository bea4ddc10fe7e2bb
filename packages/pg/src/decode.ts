const number = (text: string): number => Number(text)
const text: Record<number, (value: string) => unknown> = {
  16: (value) => value === "t",
  21: number,
  23: number,
  26: number,
  700: number,
  701: number,
}

/**
 * Handed to every query, so that neither `pg.types.setTypeParser` nor a client's own `types` changes what core reads.
 * Bool, int2, int4, oid, float4 and float8 become values, everything else stays the server's text.
 */
export const types = {
  getTypeParser: (oid: number): ((value: never) => unknown) => text[oid] ?? String,
}
