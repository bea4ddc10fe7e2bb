// Started by forward-kill.test.ts: a forwarder that ends its own process without a word at a named step.
import { forwardOnce } from "./mortal-forward.ts"

const [from = "", to = "", stream = "", kind = "", target = "", step = "", nth = "1"] = process.argv.slice(2)
await forwardOnce({ from, to, stream, kind, target }, step, Number(nth), () => {
  process.kill(process.pid, "SIGKILL")
  return new Promise(() => {})
})
