/**
 * Draws from a seed: the same seed makes the same plans. What real concurrency makes of them still differs from run to
 * run, so a seed narrows a failure down and does not replay it.
 */
export interface Random {
  chance(probability: number): boolean
  /** Both ends included. */
  integer(from: number, to: number): number
  pick<T>(list: readonly T[]): T
  /** A generator of its own, for a worker whose draws must not depend on how fast the others are. */
  fork(): Random
}

/** mulberry32. */
export function createRandom(seed: number): Random {
  let state = seed | 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const integer = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1))
  return {
    chance: (probability) => next() < probability,
    integer,
    pick: (list) => list[integer(0, list.length - 1)]!,
    fork: () => createRandom(integer(0, 2 ** 31)),
  }
}
