import { Client } from "pg"

interface Receiver<Message> {
  receive(): Promise<Message[]>
  /** Ends a wait. */
  wake(): void
  close(): Promise<void>
}

/** How often it looks that does not listen. */
const POLL = 50

/** Waits by LISTEN on a connection of its own, opened at the first call, and looks once a second all the same. */
export function createReceiver<Message>(url: string, channel: string, look: () => Promise<Message[]>, listens: boolean): Receiver<Message> {
  let listening: Promise<Client> | undefined
  let woken = false
  let wake = (): void => {}

  async function listen(): Promise<Client> {
    const client = new Client({ connectionString: url })
    client.on("error", () => {})
    client.on("notification", () => {
      woken = true
      wake()
    })
    await client.connect()
    await client.query(`listen ${channel}`)
    return client
  }

  const wait = (): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, listens ? 1000 : POLL)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })

  return {
    receive: async () => {
      if (listens) await (listening ??= listen())
      woken = false
      const found = await look()
      if (found.length > 0) return found
      if (!woken) await wait()
      return look()
    },
    wake: () => wake(),
    close: async () => {
      wake()
      await (await listening?.catch(() => undefined))?.end()
    },
  }
}
