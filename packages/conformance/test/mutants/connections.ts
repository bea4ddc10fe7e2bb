import { Client, types, type Pool } from "pg"
import { openPool, referenceDriver, referenceSetup } from "../reference-driver.ts"
import { replacing, type Mutant, type PgDriver } from "./mutant.ts"

const timestamptz = 1184

/** Drivers that treat connections, subscriptions or the user's client wrongly. */
export const connectionMutants: readonly Mutant[] = [
  replacing("loses onReady", "a killed LISTEN connection is re-established, and onReady runs again", (driver) => ({
    listen(channel, onNotify, onReady) {
      let first = true
      return driver.listen!(channel, onNotify, () => {
        if (first) onReady()
        first = false
      })
    },
  })),
  replacing("never runs onReady", "runs onReady once for the first connection", (driver) => ({
    listen: (channel, onNotify) => driver.listen!(channel, onNotify, () => undefined),
  })),
  replacing(
    "does not reconnect",
    "a LISTEN connection that the network dropped is re-established, and onReady runs again",
    (_, pool) => ({ listen: listenOnce(pool, `"`) }),
  ),
  replacing("listens on the pool's connection", "listening takes no connection of the pool", (_, pool) => ({
    async listen(channel, onNotify, onReady) {
      const client = await pool.connect()
      client.on("notification", (message) => onNotify(message.payload ?? ""))
      await client.query(`listen "${channel}"`)
      onReady()
      return async () => client.release(true)
    },
  })),
  replacing("does not quote the channel", "a channel with upper-case letters", (_, pool) => ({
    listen: listenOnce(pool, ""),
  })),
  replacing("hears every channel as one", "two channels do not mix", (driver) => {
    const all: ((payload: string) => void)[] = []
    return {
      listen(channel, onNotify, onReady) {
        all.push(onNotify)
        return driver.listen!(channel, (payload) => all.forEach((one) => one(payload)), onReady)
      },
    }
  }),
  replacing("does not unlisten", "an ended subscription receives nothing, and ending twice is harmless", (driver) => ({
    async listen(...args) {
      await driver.listen!(...args)
      return async () => undefined
    },
  })),
  {
    name: "keeps listening after close()",
    caughtBy: "a driver made from a URL ends its subscriptions",
    make: (setup) => ({
      ...referenceSetup(setup),
      fromUrl: (url) => {
        const pool = openPool({ connectionString: url })
        return { ...referenceDriver(pool), close: () => pool.end() }
      },
    }),
  },
  replacing("ends a borrowed pool", "close() leaves a borrowed client open", (_, pool) => ({
    close: async () => void (pool.ended || (await pool.end())),
  })),
  {
    name: "leaves its own pool open",
    caughtBy: "a driver made from a URL ends its connections",
    make: (setup) => ({
      ...referenceSetup(setup),
      fromUrl: (url) => ({ ...referenceDriver(url), close: async () => undefined }),
    }),
  },
  replacing("edits global parsers", "the user's client keeps its own parsers", (driver) => {
    const before = types.getTypeParser(timestamptz)
    types.setTypeParser(timestamptz, (text) => text)
    return {
      close: async () => {
        types.setTypeParser(timestamptz, before)
        await driver.close?.()
      },
    }
  }),
]

function listenOnce(pool: Pool, quote: string): PgDriver["listen"] {
  return async (channel, onNotify, onReady) => {
    const client = new Client(pool.options)
    client.on("error", () => undefined)
    client.on("notification", (message) => onNotify(message.payload ?? ""))
    await client.connect()
    await client.query(`listen ${quote}${channel}${quote}`)
    onReady()
    return () => client.end()
  }
}
