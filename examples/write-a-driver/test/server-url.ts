import { inject } from "vitest"
import "@sluice/testkit/vitest"

/** Your own would be `process.env.DATABASE_URL`: a Postgres 15 to 18 on which the role may create databases. */
export const serverUrl: string = inject("serverUrl")
