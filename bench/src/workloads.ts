import type { Workload } from "./workload.ts"
import { backlog } from "./workloads/backlog.ts"
import { drain } from "./workloads/drain.ts"
import { latency } from "./workloads/latency.ts"
import { pinned } from "./workloads/pinned.ts"
import { send } from "./workloads/send.ts"
import { streamLatency } from "./workloads/stream-latency.ts"
import { streamPinned } from "./workloads/stream-pinned.ts"
import { streams } from "./workloads/streams.ts"
import { worker } from "./workloads/worker.ts"

/** In the order in which they run. */
export const workloads: readonly Workload[] = [send, drain, worker, latency, pinned, backlog, streams, streamLatency, streamPinned]
