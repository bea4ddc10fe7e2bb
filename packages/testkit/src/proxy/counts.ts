/** What has passed the proxy since the last `reset`. Traffic before a connection is authenticated counts as nothing. */
export interface ProxyCounts {
  /** Query and Execute messages. */
  statements: number
  /** How often a client spoke after the server had: what latency multiplies. */
  roundTrips: number
  /** Connections accepted, cancel requests included. */
  connections: number
  /** Messages by their protocol letter. */
  fromClient: Record<string, number>
  fromServer: Record<string, number>
}

export function emptyCounts(): ProxyCounts {
  return { statements: 0, roundTrips: 0, connections: 0, fromClient: {}, fromServer: {} }
}

export interface ConnectionCounter {
  client(chunk: Buffer): void
  server(chunk: Buffer): void
}
