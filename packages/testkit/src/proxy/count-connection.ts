import type { ConnectionCounter, ProxyCounts } from "./counts.ts"
import { gssRequest, readMessages, sslRequest } from "./read-messages.ts"

/** Counts the messages of one connection into `counts()`, which `reset` replaces. */
export function countConnection(counts: () => ProxyCounts): ConnectionCounter {
  let ready = false
  let serverSpoke = true

  const server = readMessages(false, (type) => {
    if (type === "Z") ready = true
    if (!ready) return
    if (type !== "A") serverSpoke = true // a notification answers nothing
    add(counts().fromServer, type)
  })
  const client = readMessages(true, (type) => {
    if (type === String(sslRequest) || type === String(gssRequest)) server.expectByte()
    if (!ready) return
    const total = counts()
    add(total.fromClient, type)
    if (type === "Q" || type === "E") total.statements++
    if (serverSpoke && type !== "X") total.roundTrips++ // nobody waits for an answer to Terminate
    serverSpoke = false
  })
  return { client: client.push, server: server.push }
}

function add(letters: Record<string, number>, type: string): void {
  letters[type] = (letters[type] ?? 0) + 1
}
