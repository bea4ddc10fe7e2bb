import { createServer, type AddressInfo } from "node:net"

/** A loopback port that was free a moment ago. Another process may take it first: be ready to ask again. */
export function randomPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once("error", reject)
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as AddressInfo
      probe.close(() => resolve(port))
    })
  })
}
