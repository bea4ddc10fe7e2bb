import type { Leased } from "../message.ts"

/** As numbers, not as texts: everybody who locks many messages locks them in this order. */
export function ascendingIds(ids: Iterable<string>): string[] {
  return [...ids].sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
}

/** Ids in ascending order, each with its lease at the same place. Of a message that comes twice the later lease is meant. */
export function leaseLists(messages: Iterable<Leased>): { ids: string[]; leases: string[] } {
  const leases = new Map<string, string>()
  for (const { id, lease } of messages) leases.set(id, lease)
  const ids = ascendingIds(leases.keys())
  return { ids, leases: ids.map((id) => leases.get(id)!) }
}

/** Numbers as Postgres reads an array of them. */
export const arrayText = (numbers: readonly (string | number)[]): string => `{${numbers.join(",")}}`
