import { get, type RequestOptions } from "node:http"
import { homedir } from "node:os"
import { join } from "node:path"

/** Whether a Docker engine answers within a second. Asks every usual place at once and needs no Docker library. */
export async function pingDocker(): Promise<boolean> {
  const answers = await Promise.all(places().map(ping))
  return answers.includes(true)
}

function places(): RequestOptions[] {
  const host = process.env.DOCKER_HOST
  if (host?.startsWith("unix://")) return [{ socketPath: host.slice("unix://".length) }]
  if (host) {
    const { hostname, port } = new URL(host.replace(/^tcp:/, "http:"))
    return [{ hostname, port: port || 2375 }]
  }
  const sockets = ["/var/run/docker.sock", join(homedir(), ".docker/run/docker.sock")]
  if (process.env.XDG_RUNTIME_DIR) sockets.push(join(process.env.XDG_RUNTIME_DIR, "docker.sock"))
  return sockets.map((socketPath) => ({ socketPath }))
}

function ping(place: RequestOptions): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ ...place, path: "/_ping", timeout: 1000 }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    request.on("error", () => resolve(false))
    request.on("timeout", () => request.destroy())
  })
}
