import { describe, expect, test } from "vitest"
import { errorOf } from "./helpers/error-of.ts"
import { harness } from "./helpers/harness.ts"
import { freshStream } from "./helpers/recorded.ts"
import { sqlOn } from "./helpers/sql-on.ts"

const { client, pool, freshQueue } = await harness()
const { rows, value, fault } = sqlOn(pool)

const lengths = ["null", "0", "-1", '"soon"', '"-1s"', '"infinity"', "{}", "[]"]
const counts = ["0", "-1", "1.5", "1e12", '"5"', '"x"', "{}", "[]", "true"]
const flags = ["null", "1", '"true"', "{}"]
const limits = ["5", '"1d"', "[]", '{"days": 1}', '{"age": 0}', '{"age": "soon"}', '{"age": null}', '{"events": 0}', '{"events": 1.5}', '{"events": "1"}', '{"bytes": -1}', '{"bytes": 1e30}']

describe("22023 names an argument that cannot be meant:", () => {
  const options: [string, string, string[]][] = [
    ...["rotationPeriod", "tickerMaxLag", "tickerIdlePeriod"].map((option): [string, string, string[]] => [option, option, lengths]),
    ["retention", "retention", lengths.filter((length) => length !== "0")],
    ["tickerMaxCount", "tickerMaxCount", [...counts, "null"]],
    ["maxEventsPerTransaction", "maxEventsPerTransaction", counts.filter((count) => count !== "0")],
    ...["tickerPaused", "externalTicker", "closed"].map((option): [string, string, string[]] => [option, option, flags]),
    ["lagLimit", "lagLimit", limits],
    ["whenStuck", "whenStuck", ['"no"', "5", "[]"]],
    ["notify", "notify", ['"no"', "5", "[]"]],
    ["crno", "crno", ["1"]],
  ]
  test.each(options)("create_stream, update_stream: %s", async (option, field, values) => {
    const { name } = await freshStream(client)
    const before = await client.admin.getStream(name)
    for (const json of values) {
      const given = `{"${option}": ${json}}`
      expect(await fault("22023", "select sluice.create_stream('other', $1)", [given]), given).toEqual({ code: "invalid_argument", argument: field })
      expect(await fault("22023", "select sluice.update_stream($1, $2)", [name, given]), given).toEqual({ code: "invalid_argument", argument: field })
    }
    expect(await client.admin.getStream(name)).toEqual(before)
  })

  test.each<[string, string[]]>([
    ["lease", lengths],
    ["maxAttempts", counts],
    ["backoff", ['"1s"', "5", "[]", "{}", '{"kind": "cubic", "base": "1s"}', '{"kind": "fixed"}']],
    ["lagLimit", limits],
    ["whenStuck", ['"no"', "5"]],
    ["owner", ["1"]],
  ])("create_subscription: %s", async (option, values) => {
    const { name } = await freshStream(client)
    for (const json of values) {
      const given = `{"${option}": ${json}}`
      expect(await fault("22023", "select sluice.create_subscription($1, 'other', $2)", [name, given]), given).toEqual({ code: "invalid_argument", argument: option })
    }
  })

  test.each([
    ["options", "create_stream('x', null)"],
    ["options", "create_stream('x', '[]')"],
    ["options", "update_stream($1, null)"],
    ["options", "update_stream($1, '5')"],
    ["name", "create_stream(null)"],
    ["name", "create_stream('')"],
    ["name", "create_stream('a b')"],
    ["name", "create_stream(repeat('x', 64))"],
    ["name", "create_subscription($1, null)"],
    ["name", "create_subscription($1, 'ä')"],
    ["options", "create_subscription($1, 'x', null)"],
    ["start", "create_subscription($1, 'x', start => null)"],
    ["start", "create_subscription($1, 'x', start => '\"now\"')"],
    ["start", "create_subscription($1, 'x', start => '{}')"],
    ["start", "create_subscription($1, 'x', start => '{\"tick\": \"1\"}')"],
    ["start", "create_subscription($1, 'x', start => '{\"tick\": 1.5}')"],
    ["start", "create_subscription($1, 'x', start => '{\"tick\": 1e30}')"],
    ["start", "create_subscription($1, 'x', start => '{\"time\": 1e300}')"],
    ["start", "create_subscription($1, 'x', start => '{\"time\": \"2030-01-01\"}')"],
    ["type", "insert_event($1, null, '1')"],
    ["type", "insert_event($1, '', '1')"],
    ["type", "insert_event($1, repeat('x', 256), '1')"],
    ["key", "insert_event($1, 't', '1', key => repeat('x', 501))"],
    ["headers", "insert_event($1, 't', '1', headers => '[]')"],
    ["headers", "insert_event($1, 't', '1', headers => 'null')"],
    ["owner", "next_batch($1, 'test', null)"],
    ["owner", "next_batch($1, 'test', '')"],
    ["owner", "next_batch($1, 'test', repeat('x', 501))"],
    ["lease", "next_batch($1, 'test', 'me', '0')"],
    ["lease", "next_batch($1, 'test', 'me', '-1s')"],
    ["max_events", "next_batch($1, 'test', 'me', max_events => null)"],
    ["max_events", "next_batch($1, 'test', 'me', max_events => 0)"],
    ["shared", "next_batch($1, 'test', 'me', shared => null)"],
    ["max_events", "batch_events($1, 'test', 1, 1, max_events => null)"],
    ["max_events", "batch_events($1, 'test', 1, 1, max_events => 0)"],
    ["lease", "renew_batch($1, 'test', 1, 1, null)"],
    ["lease", "renew_batch($1, 'test', 1, 1, '0')"],
    ["retries", "finish_batch($1, 'test', 1, 1, null)"],
    ["retries", "finish_batch($1, 'test', 1, 1, '{}')"],
    ["retries", "finish_batch($1, 'test', 1, 1, '[1]')"],
    ["retries", "finish_batch($1, 'test', 1, 1, '[{}]')"],
    ["retries", "finish_batch($1, 'test', 1, 1, '[{\"id\": \"x\"}]')"],
    ["retries", "finish_batch($1, 'test', 1, 1, '[{\"id\": \"1\", \"delay\": \"1s\"}]')"],
    ["retries", "finish_batch($1, 'test', 1, 1, '[{\"id\": \"1\", \"dead\": \"x\"}]')"],
    ["retries", "finish_batch($1, 'test', 1, 1, '[{\"id\": \"1\", \"delay\": -1}]')"],
    ["retries", "finish_batch($1, 'test', 1, 1, '[{\"id\": \"1\", \"delay\": 1e300}]')"],
  ])("%s of %s", async (argument, call) => {
    const { name } = await freshStream(client)
    expect(await fault("22023", `select sluice.${call}${call.includes("$1") ? "" : " where $1::text is not null"}`, [name])).toEqual({ code: "invalid_argument", argument })
  })
})

/** The functions with a stream first. */
const calls = [
  "update_stream($1, '{}')", "insert_event($1, 't', '1')", "create_subscription($1, 's')", "drop_subscription($1, 's')", "next_batch($1, 's', 'me')", "batch_events($1, 's', 1, 1)",
  "renew_batch($1, 's', 1, 1)", "release_batch($1, 's', 1, 1)", "finish_batch($1, 's', 1, 1)", "force_tick($1)",
]

describe("states of a stream's name:", () => {
  test.each(calls)("SL013 where there is none, SL002 where a queue has it: %s", async (call) => {
    expect(await fault("SL013", `select sluice.${call}`, ["nowhere"])).toEqual({ code: "stream_not_found", queue: "nowhere" })
    expect(await fault("SL013", `select sluice.${call}`, [null])).toEqual({ code: "stream_not_found", queue: null })
    const queue = await freshQueue()
    expect(await fault("SL002", `select sluice.${call}`, [queue])).toMatchObject({ code: "wrong_kind", queue, expected: "stream" })
  })

  test.each(calls.filter((call) => /\(\$1, 's'/.test(call) && !/create|drop/.test(call)))("SL014 where it has no such subscription: %s", async (call) => {
    const { name } = await freshStream(client)
    expect(await fault("SL014", `select sluice.${call}`, [name])).toEqual({ code: "subscription_not_found", stream: name, subscription: "s" })
  })

  test.each(["batch_events($1, 'test', $2, $3)", "finish_batch($1, 'test', $2, $3)"])("SL015 where the batch is another's, ended or null: %s", async (call) => {
    const { name } = await freshStream(client)
    await client.stream(name).publish("a", 1)
    const [batch] = await rows("select * from sluice.next_batch($1, 'test', 'me')", [name])
    for (const [id, token] of [[batch.batch, "1"], ["1", batch.token], [null, batch.token], [batch.batch, null]]) {
      expect(await fault("SL015", `select sluice.${call}`, [name, id, token])).toMatchObject({ code: "stale_batch", subscription: "test" })
    }
    expect(await value("select sluice.renew_batch($1, 'test', $2, 1)", [name, batch.batch])).toBe(false)
    expect(await value("select sluice.release_batch($1, 'test', $2, null)", [name, batch.batch])).toBe(false)
    await rows("select sluice.finish_batch($1, 'test', $2, $3)", [name, batch.batch, batch.token])
    await fault("SL015", `select sluice.${call}`, [name, batch.batch, batch.token])
  })

  test("SL007 other options, SL018 closed, SL019 beyond its limit, SL020 in use, SL021 no such tick", async () => {
    const { name } = await freshStream(client, { maxEventsPerTransaction: 1 })
    expect(await fault("SL007", "select sluice.create_stream($1, '{\"closed\": true}')", [name])).toMatchObject({ differences: [{ option: "closed", stored: false, requested: true }] })
    expect(await fault("SL019", "select sluice.insert_event($1, 't', '1') from generate_series(1, 2)", [name])).toEqual({ code: "transaction_limit", stream: name, limit: 1 })
    await rows("select sluice.update_stream($1, '{\"closed\": true}')", [name])
    expect(await fault("SL018", "select sluice.insert_event($1, 't', '1')", [name])).toEqual({ code: "stream_closed", stream: name })
    expect(await fault("SL020", "select sluice.drop_stream($1)", [name])).toEqual({ code: "stream_in_use", stream: name, subscriptions: ["test"], tables: [] })
    expect(await fault("SL020", "select sluice.drop_stream($1, null)", [name])).toMatchObject({ stream: name })
    expect(await fault("SL021", "select sluice.create_subscription($1, 's', start => '{\"tick\": 99}')", [name])).toMatchObject({ stream: name })
    expect(await value("select sluice.drop_stream($1, true)", [name])).toBe(true)
    expect(await value("select sluice.drop_stream($1)", [name])).toBe(false)
  })
})

test("an event inserted by SQL is read by the client as it would have published it", async () => {
  const { name, news } = await freshStream(client)
  const id = await value("select sluice.insert_event($1, 't', '{\"a\": [1]}', 'x', extra4 => 'z', key => 'k', headers => '{\"h\": 1}')", [name])
  const other = await value("select sluice.insert_event($1, 'u', null)", [name])
  expect(await news()).toMatchObject([
    { id, type: "t", data: { a: [1] }, key: "k", headers: { h: 1 }, extra: ["x", null, null, "z"], attempt: 1 },
    { id: other, type: "u", data: null, key: null, headers: {}, extra: [null, null, null, null] },
  ])
  expect(await errorOf(pool.query("select sluice.insert_event($1, 'u', '{')", [name]))).toMatchObject({ code: "22P02" })
})
