import { sluiceStream } from "../contestants/sluice-stream.ts"
import type { Workload } from "../workload.ts"
import { pinned } from "./pinned.ts"

/** The same load and the same pin as of queues. */
export const streamPinned: Workload = {
  name: "stream-pinned",
  about: "what pinned does, of a stream with two members: events published in batches and drained, rotations on",
  run: (bench) => pinned.run({ ...bench, contestants: [sluiceStream] }),
}
