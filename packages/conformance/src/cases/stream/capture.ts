import { equal, rejects } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import { mustNext, openStream } from "./open-stream.ts"

/** Sluice does not capture what is in its own schema. */
async function userTable(context: CaseContext, columns: string): Promise<string> {
  const name = `public.${context.unique("captured")}`
  await context.exec(`create table ${name} (${columns})`)
  context.after(() => context.exec(`drop table ${name}`))
  return name
}

/** What happens to the rows of a table comes as events, in the transactions that do it. */
export const captureCases: readonly ConformanceCase[] = [
  {
    name: "insert, update, delete and truncate of a captured table are events of their transactions, with exact numbers",
    rule: "within",
    async run(context) {
      const { client, reader, name } = await openStream(context)
      const table = await userTable(context, "id int8 primary key, total numeric, note text, secret text")
      await client.admin.captureTable(table, { stream: name, ignore: ["secret"], old: true })
      const type = (operation: string): string => `${table.split(".")[1]}.${operation}`
      await context.driver.transaction(async (tx) => {
        const on = context.driver.within(tx)
        await on.query(`insert into ${table} values (9223372036854775807, 0.10000000000000000001, 'ü', 's')`)
        await on.query(`update ${table} set note = 'b'`)
        await on.query(`update ${table} set secret = 't'`)
        await on.query(`delete from ${table}`)
      })
      await rejects(context.driver.transaction(async (tx) => {
        await context.driver.within(tx).query(`insert into ${table} values (1)`)
        throw new Error("rolled back")
      }), "the transaction")
      await context.exec(`truncate ${table}`)
      const row = { id: "9223372036854775807", total: "0.10000000000000000001", note: "ü" }
      const events = await (await mustNext(reader)).list()
      equal(events.map(({ type: operation, data, key }) => [operation, data, key]), [
        [type("insert"), row, row.id],
        [type("update"), { ...row, note: "b" }, row.id],
        [type("delete"), { ...row, note: "b" }, row.id],
        [type("truncate"), null, null],
      ], "type, data and key")
      equal(events.map(({ extra }) => extra[0]), events.map(() => table), "the table, in the first extra")
      equal(JSON.parse(events[1]!.extra[1] ?? "null"), row, "the row before the update")
    },
  },
  {
    name: "a released table is captured no longer",
    rule: "core",
    async run(context) {
      const { client, reader, name } = await openStream(context)
      const table = await userTable(context, "id int4 primary key")
      equal([await client.admin.captureTable(table, { stream: name }), await client.admin.captureTable(table, { stream: name })], [false, true], "captured before")
      equal(await client.admin.releaseTable(table, { stream: name }), true, "released")
      await context.exec(`insert into ${table} values (1)`)
      equal(await reader.nextBatch(), null, "events")
    },
  },
]
