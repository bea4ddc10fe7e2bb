import type { Driver, Unlisten } from "@sluice/core"
import { equal, equalRows, eventually, inTime, ok, rejects, sleep } from "../assert.ts"
import type { CaseContext, ConformanceCase } from "../case.ts"
import { openObserver } from "./backends.ts"

interface Subscription {
  readonly payloads: string[]
  readonly ready: number
  readonly end: Unlisten
}

async function subscribe({ after }: CaseContext, driver: Driver, channel: string): Promise<Subscription> {
  const payloads: string[] = []
  let ready = 0
  const listening = driver.listen!(
    channel,
    (payload) => void payloads.push(payload),
    () => void ready++,
  )
  const end = await inTime(listening, `listen("${channel}") did not resolve`)
  after(() => inTime(end(), "unlisten"))
  return {
    payloads,
    end,
    get ready() {
      return ready
    },
  }
}

function notify(executor: Pick<Driver, "query">, channel: string, payload: string): Promise<unknown> {
  return executor.query("select pg_notify($1::text, $2::text)::text as sent", [channel, payload])
}

function delivers(name: string, channelOf: (unique: string) => string, payload = "hello"): ConformanceCase {
  return {
    name,
    rule: "listen",
    needs: ["listen"],
    async run(context) {
      const channel = channelOf(context.unique("channel"))
      const subscription = await subscribe(context, context.driver, channel)
      await notify(context.driver, channel, payload)
      await eventually(() => subscription.payloads, [payload], `payloads of channel "${channel}"`)
    },
  }
}

export const listenCases: readonly ConformanceCase[] = [
  delivers("delivers a payload", (name) => name),
  delivers("delivers an empty payload", (name) => name, ""),
  delivers("delivers unicode, quotes and line breaks", (name) => name, `🚀 "it's" \\ \n 你好`),
  delivers("delivers a payload of 7999 bytes", (name) => name, "x".repeat(7_999)),
  delivers("a channel with upper-case letters", (name) => `Upper_${name}`),
  delivers("a channel with blanks, quotes, dots and colons", (name) => `a 'b'; c.d:e-${name} $1`),
  delivers("a channel of 63 bytes", (name) => name.padEnd(63, "x")),
  {
    name: "a channel with a double quote is heard or refused, never mistaken",
    rule: "listen",
    needs: ["listen"],
    async run(context) {
      const channel = `a"b ${context.unique("channel")}`
      const subscription = await subscribe(context, context.driver, channel).catch(() => undefined)
      await notify(context.driver, channel, "hello")
      if (subscription) await eventually(() => subscription.payloads, ["hello"], `payloads of channel "${channel}"`)
    },
  },
  {
    name: "delivers in order what one sender sent",
    rule: "listen",
    needs: ["listen"],
    async run(context) {
      const channel = context.unique("channel")
      const subscription = await subscribe(context, context.driver, channel)
      const payloads = Array.from({ length: 50 }, (_, i) => String(i))
      for (const payload of payloads) await notify(context.driver, channel, payload)
      await eventually(() => subscription.payloads, payloads, "the payloads")
    },
  },
  {
    name: "two channels do not mix",
    rule: "listen",
    needs: ["listen"],
    async run(context) {
      const [a, b] = [context.unique("channel"), context.unique("channel")]
      const [first, second] = [await subscribe(context, context.driver, a), await subscribe(context, context.driver, b)]
      await notify(context.driver, a, "for a")
      await notify(context.driver, b, "for b")
      await eventually(() => [first.payloads, second.payloads], [["for a"], ["for b"]], "payloads by channel")
    },
  },
  {
    name: "two subscriptions to one channel both receive, and ending one keeps the other",
    rule: "listen",
    needs: ["listen"],
    async run(context) {
      const channel = context.unique("channel")
      const [first, second] = [
        await subscribe(context, context.driver, channel),
        await subscribe(context, context.driver, channel),
      ]
      await notify(context.driver, channel, "one")
      await eventually(() => [first.payloads, second.payloads], [["one"], ["one"]], "both subscriptions")
      await inTime(first.end(), "unlisten")
      await notify(context.driver, channel, "two")
      await eventually(() => second.payloads, ["one", "two"], "the subscription that was kept")
      equal(first.payloads, ["one"], "the subscription that was ended")
    },
  },
  {
    name: "an ended subscription receives nothing, and ending twice is harmless",
    rule: "listen",
    needs: ["listen"],
    async run(context) {
      const channel = context.unique("channel")
      const subscription = await subscribe(context, context.driver, channel)
      await inTime(subscription.end(), "unlisten")
      await inTime(subscription.end(), "unlisten again")
      await notify(context.driver, channel, "late")
      await sleep(100)
      equal(subscription.payloads, [], "payloads after the end")
    },
  },
  {
    name: "runs onReady once for the first connection",
    rule: "listen-again",
    needs: ["listen"],
    async run(context) {
      const subscription = await subscribe(context, context.driver, context.unique("channel"))
      await eventually(() => subscription.ready, 1, "how often onReady ran")
      await sleep(50)
      equal(subscription.ready, 1, "how often onReady ran")
    },
  },
  {
    name: "a killed LISTEN connection is re-established, and onReady runs again",
    rule: "listen-again",
    needs: ["listen", "concurrent", "direct"],
    timeout: 30_000,
    async run(context) {
      const { driver, unique } = context
      await driver.query("select 1")
      const observer = await openObserver(context)
      const channel = unique("channel")
      for (let round = 1; round <= 2; round++) {
        const subscription = await subscribe(context, driver, channel)
        await eventually(() => subscription.ready, 1, "how often onReady ran before the kill")
        await observer.kill(await observer.pids())
        await eventually(() => subscription.ready, 2, "how often onReady ran after the connection was killed", 10_000)
        await notify(driver, channel, "again")
        await eventually(() => subscription.payloads, ["again"], "payloads after the reconnect")
        await subscription.end()
      }
    },
  },
  {
    name: "a LISTEN connection that the network dropped is re-established, and onReady runs again",
    rule: "listen-again",
    needs: ["listen", "tap"],
    timeout: 30_000,
    async run(context) {
      const { connect, driver, tap, unique } = context
      const sender = await connect({ untapped: true })
      const channel = unique("channel")
      const subscription = await subscribe(context, driver, channel)
      tap.cut()
      await eventually(() => subscription.ready, 2, "how often onReady ran after the network dropped", 10_000)
      await notify(sender.driver, channel, "again")
      await eventually(() => subscription.payloads, ["again"], "payloads after the reconnect")
    },
  },
  {
    name: "what a transaction notifies arrives after its commit only",
    rule: "listen",
    needs: ["listen"],
    async run(context) {
      const { driver, unique } = context
      const channel = unique("channel")
      const subscription = await subscribe(context, driver, channel)
      await driver.transaction(async (tx) => {
        await notify(driver.within(tx), channel, "committed")
        await sleep(60)
        equal(subscription.payloads, [], "payloads before the commit")
      })
      await eventually(() => subscription.payloads, ["committed"], "payloads after the commit")
    },
  },
  {
    name: "what a rolled-back transaction notified never arrives",
    rule: "listen",
    needs: ["listen"],
    async run(context) {
      const { driver, unique } = context
      const channel = unique("channel")
      const subscription = await subscribe(context, driver, channel)
      const rolledBack = driver.transaction(async (tx) => {
        await notify(driver.within(tx), channel, "rolled back")
        throw new Error("rolled back")
      })
      await rejects(rolledBack, "the transaction")
      await notify(driver, channel, "after")
      await eventually(() => subscription.payloads, ["after"], "the payloads")
    },
  },
  {
    name: "listening takes no connection of the pool",
    rule: "listen-apart",
    needs: ["listen", "concurrent"],
    async run(context) {
      const { driver } = await context.connect({ max: 1 })
      const channel = context.unique("channel")
      const subscription = await subscribe(context, driver, channel)
      const one = inTime(driver.query("select 1::int4 as one"), "a pool of one could not query while it listened")
      equalRows(await one, [{ one: 1 }], "query() beside listen()")
      const work = driver.transaction((tx) => notify(driver.within(tx), channel, "from the pool"))
      await inTime(work, "a pool of one could not open a transaction while it listened")
      await eventually(() => subscription.payloads, ["from the pool"], "the payloads")
    },
  },
  {
    name: "ending the last subscription closes its connection",
    rule: "listen-apart",
    needs: ["listen", "concurrent", "direct"],
    async run(context) {
      const { driver, unique } = context
      await driver.query("select 1")
      const observer = await openObserver(context)
      const subscription = await subscribe(context, driver, unique("channel"))
      ok((await observer.count()) > 0, "listen() must open a connection of its own")
      await inTime(subscription.end(), "unlisten")
      await eventually(observer.count, 0, "connections after unlisten")
    },
  },
]
