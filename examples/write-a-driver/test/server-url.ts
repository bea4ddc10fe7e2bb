/** Where the tests' server is. Later the one line that asks testkit: `inject("serverUrl")`. */
export const serverUrl: string = process.env.DATABASE_URL ?? "postgres://postgres@127.0.0.1:5432/postgres"
