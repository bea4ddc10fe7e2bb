// Started by embedded.test.ts, and killed: a process that has a server. With "early" it reports before initdb is done.
import { readdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { startEmbedded } from "../src/index.ts"
import { temporaryRoot } from "../src/service-user.ts"

const folders = (): string[] => readdirSync(temporaryRoot()).filter((name) => name.startsWith("sluice-postgres-"))
const report = (pid: number, folder: string): void => console.log(JSON.stringify({ pid, folder }))

if (process.argv[2] === "early") {
  const before = new Set(folders())
  void startEmbedded()
  const timer = setInterval(() => {
    const folder = folders().find((name) => !before.has(name))
    if (!folder) return
    clearInterval(timer)
    setTimeout(() => report(0, join(temporaryRoot(), folder)), 100)
  }, 5)
} else {
  const server = await startEmbedded()
  report(server.pid, dirname(server.dataFolder))
}
