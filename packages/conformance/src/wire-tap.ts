import { connect, createServer, type AddressInfo, type Socket } from "node:net"
import { leadingTexts, wireFrames } from "./wire-frames.ts"

/** What an operation costs on the wire. */
export interface WireCost {
  /** The statements that the client asked for, in order, control statements such as `begin` included. */
  readonly statements: readonly string[]
  /** How many the server answered: more than `statements` where one message held several. */
  readonly completed: number
  /** How often the client spoke after the server had: what a far server makes slow. */
  readonly roundTrips: number
}

/** A loopback proxy in front of a Postgres that reads along. It never changes a byte. */
export interface WireTap {
  /** The given URL, led through the proxy. */
  readonly url: string
  measure(work: () => Promise<unknown>): Promise<WireCost>
  /** Breaks every connection, as a network does. */
  cut(): void
  close(): Promise<void>
}

const sslOrGssRequest = new Set([80877103, 80877104])
const unasked = new Set(["A", "N", "S"]) // notification, notice, changed parameter

export async function openWireTap(target: string): Promise<WireTap> {
  const address = new URL(target)
  const sockets = new Set<Socket>()
  const total = { statements: [] as string[], completed: 0, roundTrips: 0 }
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({
      host: address.hostname.replace(/^\[|\]$/g, ""),
      port: Number(address.port || 5432),
      noDelay: true,
    })
    const observer = observe(total)
    client.on("data", (chunk) => {
      // Answered here with "no", as a server without TLS would, so that the rest can be read.
      if (chunk.length === 8 && sslOrGssRequest.has(chunk.readInt32BE(4))) return void client.write("N")
      observer.fromClient(chunk)
      upstream.write(chunk)
    })
    upstream.on("data", (chunk) => {
      observer.fromServer(chunk)
      client.write(chunk)
    })
    join(client, upstream, sockets)
    join(upstream, client, sockets)
  })
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve))
  const url = new URL(target)
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const cut = (): void => sockets.forEach((socket) => socket.destroy())
  return {
    url: url.href,
    cut,
    async measure(work) {
      const before = { ...total, statements: total.statements.length }
      await work()
      return {
        statements: total.statements.slice(before.statements),
        completed: total.completed - before.completed,
        roundTrips: total.roundTrips - before.roundTrips,
      }
    },
    close() {
      cut()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

function join(socket: Socket, other: Socket, sockets: Set<Socket>): void {
  sockets.add(socket)
  socket.on("error", () => other.destroy())
  socket.on("end", () => other.end())
  socket.on("close", () => {
    sockets.delete(socket)
    other.destroy()
  })
}

/** Counts for one connection, from its first ReadyForQuery on. */
function observe(total: { statements: string[]; completed: number; roundTrips: number }): {
  fromClient(chunk: Buffer): void
  fromServer(chunk: Buffer): void
} {
  const prepared = new Map<string, string>()
  let bound = ""
  let ready = false
  let serverSpoke = true
  const fromClient = wireFrames(true, (type, body) => {
    if (!ready || type === "X") return
    if (serverSpoke) total.roundTrips++
    serverSpoke = false
    if (type === "Q") total.statements.push(leadingTexts(body, 1)[0] ?? "")
    if (type === "E") total.statements.push(bound)
    if (type === "B") bound = prepared.get(leadingTexts(body, 2)[1] ?? "") ?? "(unknown)"
    if (type === "P") {
      const [name = "", text = ""] = leadingTexts(body, 2)
      prepared.set(name, text)
    }
  })
  const fromServer = wireFrames(false, (type) => {
    if (ready && !unasked.has(type)) serverSpoke = true
    if (ready && (type === "C" || type === "I" || type === "E")) total.completed++
    if (type === "Z") ready = true
  })
  return { fromClient, fromServer }
}
