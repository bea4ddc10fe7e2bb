import { createClient, sqlState, type Client, type Driver, type Queue } from "@sluice/core"
import { equal, equalRows, ok, rejects, rejectsWith } from "../../assert.ts"
import type { CaseContext, ConformanceCase } from "../../case.ts"
import type { Isolation } from "../../harness.ts"
import { borrowed, messageTable, mustRead, openClient, openQueue, refuses } from "./open-queue.ts"
import { callsOfAdmin, callsOfQueue } from "./unknown-queue.ts"

interface Joined {
  readonly client: Client
  readonly queue: Queue
  readonly name: string
  readonly tx: unknown
}

/**
 * In one transaction of the caller's: what Sluice refuses, each followed by an insert of the caller's own. It must commit
 * with all of them: a refusal is an answer, never an error of the server.
 */
async function staysUsable(context: CaseContext, refusals: readonly ((joined: Joined) => Promise<unknown>)[], isolation?: Isolation): Promise<void> {
  const { client, queue, name } = await openQueue(context)
  const { driver, harness } = context
  const table = await context.table("n int4")
  const work = async (tx: unknown): Promise<void> => {
    for (const [n, refusal] of refusals.entries()) {
      await refusal({ client, queue, name, tx })
      await driver.within(tx).query(`insert into ${table} values ($1::int4)`, [n])
    }
    await queue.send("sent after refusals", { tx })
  }
  await (isolation === undefined ? driver.transaction(work) : harness.begin!(isolation, work))
  equalRows(await context.exec(`select n from ${table} order by n`), refusals.map((_, n) => ({ n })), "what the caller inserted")
  equal((await queue.metrics()).length, 1, "messages")
}

function usableAfter(name: string, ...refusals: ((joined: Joined) => Promise<unknown>)[]): ConformanceCase {
  return { name: `in the caller's transaction: ${name}, and it still inserts and commits`, rule: "core", run: (context) => staysUsable(context, refusals) }
}

const nothing = { id: "1", lease: "1" }
const stale = { id: nothing.id, lease: nothing.lease }

/** What a refusal does to the caller's transaction, and what an error carries. */
export const coreErrorCases: readonly ConformanceCase[] = [
  usableAfter(
    "unknown queue from every call",
    ...Object.entries(callsOfQueue).map(([call, run]) => ({ client, name, tx }: Joined) =>
      refuses(run(client.queue(`${name}.nowhere`), { tx }), "queue_not_found", { queue: `${name}.nowhere` }, call)),
    ...Object.entries(callsOfAdmin).map(([call, run]) => ({ client, name, tx }: Joined) =>
      refuses(run(client.admin, `${name}.nowhere`, { tx }), "queue_not_found", { queue: `${name}.nowhere` }, call)),
  ),
  usableAfter(
    "a stale lease from every settle",
    ({ queue, tx }) => refuses(queue.delete(nothing, { tx }), "stale_lease", stale, "delete"),
    ({ queue, tx }) => refuses(queue.archive(nothing, { tx }), "stale_lease", stale, "archive"),
    ({ queue, tx }) => refuses(queue.release(nothing, { tx }), "stale_lease", stale, "release"),
    ({ queue, tx }) => refuses(queue.retry(nothing, { tx }), "stale_lease", stale, "retry"),
    ({ queue, tx }) => refuses(queue.setVt(nothing, "1s", { tx }), "stale_lease", stale, "setVt"),
    ({ queue, tx }) => refuses(queue.extend(nothing, "1s", { tx }), "stale_lease", stale, "extend"),
  ),
  usableAfter(
    "a queue that is there already, with the same or other options",
    ({ client, name, tx }) => refuses(client.admin.createQueue(name, { ifExists: "error", tx }), "queue_already_exists", { queue: name }, "exists"),
    ({ client, name, tx }) => refuses(client.admin.createQueue(name, { levels: 2, tx }), "options_differ", { queue: name }, "differs"),
  ),
  usableAfter(
    "a dead-letter queue that is not there, at creation and at update",
    ({ client, name, tx }) => refuses(client.admin.createQueue(`${name}.b`, { deadLetter: "nowhere", tx }), "queue_not_found", {}, "createQueue"),
    ({ client, name, tx }) => refuses(client.admin.getQueue(`${name}.b`, { tx }), "queue_not_found", {}, "it was not made"),
    ({ client, name, tx }) => refuses(client.admin.updateQueue(name, { deadLetter: "nowhere" }, { tx }), "queue_not_found", {}, "updateQueue"),
  ),
  usableAfter(
    "a cycle of dead-letter queues",
    ({ client, name, tx }) => client.admin.createQueue(`${name}.b`, { deadLetter: name, tx }),
    ({ client, name, tx }) => refuses(client.admin.updateQueue(name, { deadLetter: `${name}.b` }, { tx }), "dead_letter_cycle", {}, "cycle"),
  ),
  usableAfter(
    "a priority out of range",
    ({ queue, tx }) => refuses(queue.send(1, { priority: 4, tx }), "invalid_option", { field: "priority" }, "send"),
    ({ queue, tx }) => refuses(queue.sendBatch([{ payload: 1, priority: 9 }], { tx }), "invalid_option", { field: "items[0].priority" }, "sendBatch"),
  ),
  usableAfter(
    "a queue in use",
    async ({ client, name, tx }) => {
      await client.queue(name).send("held", { tx })
      const held = await mustRead(client.queue(name), { tx })
      await refuses(client.admin.dropQueue(name, { tx }), "queue_in_use", { inFlight: 1 }, "dropQueue")
      await client.queue(name).delete(held, { tx })
    },
  ),
  usableAfter(
    "what is refused before any SQL",
    ({ queue, tx }) => refuses(queue.send(1n as never, { tx }), "payload_invalid", {}, "a bigint"),
    ({ queue, tx }) => refuses(queue.send(1, { delay: 5 as never, tx }), "invalid_option", {}, "a bare number"),
    ({ client, tx }) => refuses(client.admin.createQueue("no name", { tx }), "invalid_name", {}, "a bad name"),
  ),
  ...(["repeatable read", "serializable"] as const).map((level): ConformanceCase => ({
    name: `in the caller's ${level} transaction: read, pop and install are refused, and it still inserts and commits`,
    rule: "core",
    needs: ["begin"],
    run: (context) => staysUsable(context, [
      ({ queue, tx }) => refuses(queue.read({ tx }), "isolation_level", { actual: level }, "read"),
      ({ queue, tx }) => refuses(queue.readBatch({ limit: 2, tx }), "isolation_level", { actual: level }, "readBatch"),
      ({ queue, tx }) => refuses(queue.pop({ tx }), "isolation_level", { actual: level }, "pop"),
      ({ queue, tx }) => refuses(queue.popBatch({ limit: 2, tx }), "isolation_level", { actual: level }, "popBatch"),
      ({ client, tx }) => refuses(client.admin.install({ tx }), "isolation_level", { actual: level }, "install"),
    ], level),
  })),
  {
    name: "{ tx: undefined } and { tx: null } throw from every call: a lost transaction never means none",
    rule: "no-lost-tx",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      for (const tx of [undefined, null]) {
        for (const [call, run] of Object.entries(callsOfQueue)) await refuses(run(queue, { tx }), "invalid_option", { field: "options.tx" }, call)
        for (const [call, run] of Object.entries(callsOfAdmin)) await refuses(run(client.admin, name, { tx }), "invalid_option", { field: "options.tx" }, call)
        for (const run of [client.admin.install, client.admin.listQueues, client.admin.metricsAll]) {
          await refuses(run({ tx }), "invalid_option", { field: "options.tx" }, "of admin")
        }
        await refuses(client.admin.createQueue(`${name}.b`, { tx }), "invalid_option", { field: "options.tx" }, "createQueue")
        await refuses(client.admin.dropQueue(name, { tx }), "invalid_option", { field: "options.tx" }, "dropQueue")
      }
      equal((await queue.metrics()).total, 0, "ever sent")
      equal(await client.admin.queues.count({ prefix: name }), 1, "queues")
    },
  },
  {
    name: "what is no transaction is refused: the driver itself, a string, an object",
    rule: "no-lost-tx",
    async run(context) {
      const { queue } = await openQueue(context)
      const wrong = { "the driver": context.driver, "a string": "begin", "an object": {}, "a number": 1 }
      for (const [what, tx] of Object.entries(wrong)) await rejects(queue.send(1, { tx }), `send with ${what} for a transaction`)
      equal((await queue.metrics()).total, 0, "ever sent")
    },
  },
  {
    name: "no schema: SchemaNotInstalledError that names it, with the server's error as cause",
    rule: "own-errors",
    async run(context) {
      const schema = context.unique("absent")
      const client = createClient(borrowed(context.driver), { schema })
      const error = await refuses(client.queue("q").send(1), "schema_not_installed", { schema }, "send")
      ok(error.cause instanceof Error, "the cause is the library's own error")
      ok(["3F000", "42P01", "42883"].includes(sqlState(error) ?? ""), `its SQLSTATE is found, received ${sqlState(error)}`)
      const joined = context.driver.transaction((tx) => client.queue("q").send(1, { tx }))
      await refuses(joined, "schema_not_installed", { schema }, "in the caller's transaction")
    },
  },
  {
    name: "a statement timeout: StatementCancelledError with its cause, and nothing took effect",
    rule: "own-errors",
    needs: ["concurrent"],
    async run(context) {
      const { queue, name } = await openQueue(context)
      await queue.send("x")
      const held = await mustRead(queue)
      const other = await context.connect()
      const elsewhere = createClient(borrowed(other.driver), { schema: "sluice_conformance" }).queue(name)
      await context.driver.transaction(async (tx) => {
        await queue.delete(held, { tx })
        const late = other.driver.transaction(async (second) => {
          await other.driver.within(second).query("set local statement_timeout = 100")
          await elsewhere.archive(held, { tx: second })
        })
        const error = await refuses(late, "statement_cancelled", {}, "archive behind a lock")
        equal(sqlState(error), "57014", "SQLSTATE of its cause")
      })
      equal((await queue.metrics()).length, 0, "the first settle holds")
    },
  },
  {
    name: "an error of the caller's own passes through client.transaction untouched, and nothing is sent",
    rule: "transaction",
    async run(context) {
      const { client, queue } = await openQueue(context)
      const own = new Error("of the caller")
      const error = await rejects(client.transaction(async (tx) => {
        await queue.send("x", { tx })
        throw own
      }), "client.transaction")
      ok(error === own, "the very error")
      equal((await queue.metrics()).length, 0, "messages")
    },
  },
  {
    name: "an error of the server's own keeps its SQLSTATE, inside and outside of a transaction",
    rule: "own-errors",
    async run(context) {
      const { client, queue, name } = await openQueue(context)
      const broken = context.unique("broken")
      const table = await messageTable(context, queue)
      await context.exec(`alter table ${table} add constraint ${broken} check (payload <> '"${broken}"')`)
      context.after(() => context.exec(`alter table ${table} drop constraint ${broken}`))
      await rejectsWith(queue.send(broken), "23514", "send")
      await rejectsWith(client.transaction((tx) => queue.send(broken, { tx })), "23514", "send in a transaction")
      await rejectsWith(queue.sendBatch([{ payload: 1 }, { payload: broken }]), "23514", "sendBatch")
      equal((await client.admin.metrics(name)).length, 0, "nothing of it was written")
    },
  },
  {
    name: "no server: ConnectionError with its cause",
    rule: "own-errors",
    needs: ["fromUrl"],
    async run(context) {
      const url = new URL(context.url)
      url.port = "1"
      const driver: Driver = context.harness.fromUrl!(url.href)
      context.after(async () => driver.close?.())
      const error = await refuses(createClient(borrowed(driver)).queue("q").send(1), "connection", {}, "send")
      ok(error.cause instanceof Error, "the cause is the library's own error")
      await openClient(context)
    },
  },
]
