import { once } from "node:events"
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net"
import { countConnection } from "./count-connection.ts"
import { emptyCounts, type ProxyCounts } from "./counts.ts"
import { pipe, type PipeState } from "./pipe.ts"

export interface ProxyOptions {
  /** Milliseconds that every chunk waits, in each direction. */
  readonly latency?: number
}

export interface Proxy {
  /** The target's URL, by way of the proxy. */
  readonly url: string
  readonly port: number
  /** Since the start or the last `reset`; a snapshot. */
  readonly counts: ProxyCounts
  /** Connections open now. */
  readonly open: number
  reset(): void
  /** Milliseconds for every chunk from now on, in each direction. */
  setLatency(milliseconds: number): void
  /** Resets every open connection, as a failing network does. New ones are welcome. */
  cut(): void
  /** `true`: new connections meet a closed port. Open ones go on. */
  refuse(refusing: boolean): Promise<void>
  /** `true`: connections stay open and new ones are accepted, but no byte passes. What is lost is lost for good. */
  goHalfOpen(halfOpen: boolean): void
  stop(): Promise<void>
}

interface Link {
  readonly client: Socket
  readonly server: Socket
}

/** A TCP proxy on loopback before a Postgres (without TLS) that counts its protocol messages and fails on request. */
export async function startProxy(targetUrl: string, options: ProxyOptions = {}): Promise<Proxy> {
  const target = new URL(targetUrl)
  const state: PipeState = { latency: options.latency ?? 0, halfOpen: false }
  const links = new Set<Link>()
  let counts = emptyCounts()
  const listener = createServer((client) => {
    counts.connections++
    const server = connect({ host: target.hostname, port: Number(target.port || 5432), noDelay: true })
    const link = { client: client.setNoDelay(true), server }
    links.add(link)
    client.on("close", () => links.delete(link))
    const counter = countConnection(() => counts)
    pipe(client, server, state, counter.client)
    pipe(server, client, state, counter.server)
  })
  const port = await listen(listener, 0)
  const url = new URL(target)
  url.hostname = "127.0.0.1"
  url.port = String(port)

  const cut = (): void => {
    for (const { client, server } of links) {
      client.resetAndDestroy()
      server.resetAndDestroy()
    }
  }
  const refuse = async (refusing: boolean): Promise<void> => {
    if (refusing) listener.close() // only the port: open connections live on
    else if (!listener.listening) await listen(listener, port)
  }
  return {
    url: url.href,
    port,
    get counts() {
      return structuredClone(counts)
    },
    get open() {
      return links.size
    },
    reset: () => void (counts = emptyCounts()),
    setLatency: (milliseconds) => void (state.latency = milliseconds),
    cut,
    refuse,
    goHalfOpen: (halfOpen) => void (state.halfOpen = halfOpen),
    async stop() {
      await refuse(true)
      cut()
    },
  }
}

async function listen(listener: Server, port: number): Promise<number> {
  listener.listen(port, "127.0.0.1")
  await once(listener, "listening")
  return (listener.address() as AddressInfo).port
}
