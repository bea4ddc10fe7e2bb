import type { Socket } from "node:net"

export interface PipeState {
  latency: number
  halfOpen: boolean
}

/** Hands bytes from one socket to the other: late when there is latency, never when half open, always in order. */
export function pipe(from: Socket, to: Socket, state: PipeState, onBytes: (chunk: Buffer) => void): void {
  let lastDue = 0
  const deliver = (act: () => void): void => {
    const now = performance.now()
    lastDue = Math.max(now + state.latency, lastDue) // a chunk never overtakes one sent under a longer latency
    if (lastDue <= now) act()
    else setTimeout(act, lastDue - now)
  }
  from.on("data", (chunk: Buffer) => {
    if (state.halfOpen) return
    onBytes(chunk)
    deliver(() => {
      if (to.writable && !to.write(chunk)) from.pause()
    })
  })
  to.on("drain", () => from.resume())
  from.on("end", () => {
    if (!state.halfOpen) deliver(() => to.end())
  })
  from.on("error", () => to.destroy())
  from.on("close", () => {
    if (!state.halfOpen) deliver(() => to.destroySoon())
  })
}
