export interface Flow {
  readonly name: string
  /** The name of the flow's shop: the start of its queues' names and of its order ids. */
  readonly key: string
  readonly placedWith: string
  readonly fulfilledWith: string
}

function flow(placedWith: string, fulfilledWith: string = placedWith): Flow {
  const name = placedWith === fulfilledWith ? placedWith : `${placedWith} → ${fulfilledWith}`
  const key = name.replace("→", "to").replace(/[^a-z]+/g, "-")
  return { name, key, placedWith, fulfilledWith }
}

/** Each adapter by itself, then orders placed with one and fulfilled with another. */
export const flows: readonly Flow[] = [
  flow("pg"),
  flow("postgres.js"),
  flow("drizzle on pg"),
  flow("drizzle on postgres.js"),
  flow("drizzle on postgres.js", "pg"),
  flow("postgres.js", "drizzle on pg"),
  flow("pg", "postgres.js"),
]
