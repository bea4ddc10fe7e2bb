import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from "kysely"
import { expect, it } from "vitest"
import { kyselyDriver } from "../src/kysely-driver.ts"

it("refuses a database in the place of a transaction, in types and at run time", () => {
  const db = new Kysely<{ orders: { id: number } }>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (own) => new PostgresIntrospector(own),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  })
  // @ts-expect-error a database is no transaction
  expect(() => kyselyDriver(db).within(db)).toThrow(TypeError)
})
