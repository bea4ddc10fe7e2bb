import { expect, test } from "vitest"
import { findSql } from "../find-sql.ts"

test.each([
  "select 1 from t",
  "SELECT pg_backend_pid()",
  "update t set n = 1",
  "insert into t values (1)",
  "with claimed as (table t) table claimed",
  "notify channel",
  "set local statement_timeout = 1",
  "create index on t (n)",
])("finds %s", (text) => {
  expect(findSql(`// a comment\nconst a = 1\nrun(\`${text}\`)`)).toEqual([{ line: 3, text: `\`${text}\`` }])
})

test.each([
  "select 1",
  "begin",
  "rollback",
  "savepoint sluice",
  'listen "channel"',
  "unlisten *",
  "Create the pool first, then update its options.",
])("lets %s through", (text) => {
  expect(findSql(`/* select 2 */ run('${text}') // delete from t`)).toEqual([])
})
